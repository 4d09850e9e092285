"""What is checked before a server listens."""

from pathlib import Path

import pytest

from intbert.errors import ConfigError, IntbertError, NotFoundError
from intbert.runtime.preflight import check_start
from intbert.runtime.service import ServiceSettings
from tests.api.packages import POSITIONS, write_tiny, write_tiny_qa

CLASSIFIER, SPANS = "text-classification", "question-answering"


def test_what_can_work_passes(tmp_path: Path) -> None:
    """Also a queue that takes exactly the longest input, and default models that are there."""
    write_tiny(tmp_path)
    write_tiny_qa(tmp_path)
    defaults = {CLASSIFIER: "tiny", SPANS: "tiny-qa"}
    check_start(ServiceSettings(store=tmp_path, queue_tokens=POSITIONS, batch_tokens=32, default_models=defaults))


def test_a_damaged_package_is_no_matter_of_settings(tmp_path: Path) -> None:
    """The service has to live to say what is wrong with it, also when it is the default model."""
    directory = write_tiny(tmp_path).directory
    (directory / "manifest.json").write_text("{")
    check_start(ServiceSettings(store=tmp_path, default_models={CLASSIFIER: "tiny"}))
    write_tiny(tmp_path, version="0")
    check_start(ServiceSettings(store=tmp_path, default_models={CLASSIFIER: "tiny"}))
    (tmp_path / "linked").symlink_to(directory.parent)
    check_start(ServiceSettings(store=tmp_path))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"kernels": "nonsense"}, IntbertError, "nonsense"),
        ({"threads": 1024}, ConfigError, "1024 threads"),
        ({"workers": 1024}, ConfigError, "1024 workers"),
        ({"queue_tokens": POSITIONS - 1, "batch_tokens": 8}, ConfigError, "inputs of 64 tokens"),
        ({"default_models": {SPANS: "tiny"}}, ConfigError, "it holds: none"),
        ({"default_models": {CLASSIFIER: "tony"}}, ConfigError, "'tony'.*it holds: tiny"),
        ({"store": Path("/does/not/exist")}, NotFoundError, "/does/not/exist"),
    ],
)
def test_what_no_waiting_would_mend(
    tmp_path: Path, settings: dict[str, object], error: type[Exception], words: str
) -> None:
    """Each with the value and what there is."""
    write_tiny(tmp_path)
    values: dict[str, object] = {"store": tmp_path} | settings
    with pytest.raises(error, match=words):
        check_start(ServiceSettings(**values))  # type: ignore[arg-type]
