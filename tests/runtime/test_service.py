"""The service as API and CLI use it, on real tiny packages with the native engine and ONNX Runtime."""

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intbert.errors import (
    ActivationError,
    DeadlineError,
    InputError,
    NotFoundError,
    OverloadedError,
    PackageError,
    UnavailableError,
)
from intbert.model.manifest import KnownAnswer
from intbert.model.store import ModelStore
from intbert.runtime.answers import digest_of
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.catalog import Catalog, Target
from intbert.runtime.classify import ClassifyParameters, TextInput
from intbert.runtime.engine import Engine
from intbert.runtime.evaluate import encode_all
from intbert.runtime.observer import SilentObserver
from intbert.runtime.reference import ReferenceEngine
from intbert.runtime.service import InferenceService, ServiceSettings
from tests.model.packages import LOGIT_SCALE, edit_manifest, make_package

GOOD = TextInput(text="a good film")
DEFAULT = ClassifyParameters()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classifiers of which one has two versions, and a span model. Never changed by a test."""
    root = tmp_path_factory.mktemp("store")
    make_package(root)
    make_package(root, version="2", seed=2)
    make_package(root, name="three", labels=3, problem_type="multi_label_classification")
    make_package(root, name="spans", task="question-answering")
    return root


@pytest.fixture(scope="module")
def service(store: Path) -> Iterator[InferenceService]:
    running = start(store, default_models={"text-classification": "tiny"})
    yield running
    assert running.close(10)


def start(store: Path, **settings: Any) -> InferenceService:
    service = InferenceService(ServiceSettings(store=store, **settings))
    assert service.start().ready, service.status()
    return service


def test_answer_is_the_references(service: InferenceService, store: Path) -> None:
    """Logits, digest, scores and usage of texts and pairs equal those of the specification."""
    texts = [("a good film", None), ("who made it ?", "bad plot , dull"), ("it was not bad .", None)]
    inputs = [TextInput(text=text, text_pair=pair) for text, pair in texts]
    result = service.classify_now(inputs, ClassifyParameters(return_digest=True))
    package = ModelStore(store).open("tiny")
    sequences = encode_all(package.tokenizer(), package.manifest, texts)
    session = ReferenceEngine(package.program(), logit_scale=LOGIT_SCALE).session(1)
    assert result.digests is not None
    for index, item in enumerate(sequences):
        expected = session.run(RaggedBatch.of([item]))[0]
        assert np.array_equal(result.logits[index], expected)
        assert result.digests[index] == digest_of(expected)
        assert result.usage[index].tokens == item.tokens
        assert result.results[index][0].label == f"label{expected.argmax()}"
    assert (result.model.name, result.model.version, result.model.variant) == ("tiny", "2", "int8")
    assert result.model.sha256 == package.sha256


def test_variants_versions_and_models_are_chosen(service: InferenceService) -> None:
    """By name; FP32 is loaded on its first use and has no digest."""
    assert not service.memory("tiny", "fp32", "1").loaded
    fp32 = service.classify_now([GOOD], ClassifyParameters(variant="fp32", version="1"))
    assert fp32.logits[0].dtype == np.float32
    assert fp32.model.variant == "fp32"
    assert service.memory("tiny", "fp32", "1").weights_bytes > 0
    three = service.classify_now([GOOD], ClassifyParameters(model="three", top_k=2))
    assert len(three.results[0]) == 2
    assert three.digests is None
    with pytest.raises(InputError, match="not integer-only") as caught:
        service.classify_now([GOOD], ClassifyParameters(variant="fp32", return_digest=True))
    assert caught.value.code == "digest_unavailable"


def test_multi_label_scores_do_not_compete(service: InferenceService) -> None:
    """Sigmoids need not add up to one; a chosen function wins."""
    own = service.classify_now([GOOD], ClassifyParameters(model="three")).results[0]
    forced = service.classify_now([GOOD], ClassifyParameters(model="three", function_to_apply="softmax")).results[0]
    assert sum(item.score for item in forced) == pytest.approx(1, abs=1e-5)
    assert [item.label for item in own] == [item.label for item in forced]
    assert [item.score for item in own] != [item.score for item in forced]


@pytest.mark.parametrize(
    ("parameters", "error", "code"),
    [
        (ClassifyParameters(model="huge"), NotFoundError, "model_not_found"),
        (ClassifyParameters(model="../tiny"), NotFoundError, "model_not_found"),
        (ClassifyParameters(version="9"), NotFoundError, "version_not_found"),
        (ClassifyParameters(version="../1"), NotFoundError, "version_not_found"),
        (ClassifyParameters(variant="int4"), NotFoundError, "variant_not_found"),
        (ClassifyParameters(model="spans"), InputError, "wrong_task"),
        (ClassifyParameters(top_k=0), InputError, "invalid_parameter"),
        (ClassifyParameters(timeout_s=0), InputError, "invalid_parameter"),
    ],
)
def test_unanswerable_requests_have_codes(
    service: InferenceService, parameters: ClassifyParameters, error: type[Exception], code: str
) -> None:
    """Blocking and awaited alike."""
    with pytest.raises(error) as caught:
        service.classify_now([GOOD], parameters)
    assert caught.value.code == code  # type: ignore[attr-defined]
    with pytest.raises(error):
        asyncio.run(service.classify([GOOD], parameters))


def test_inputs_are_named_in_errors(service: InferenceService) -> None:
    """The client learns which of its inputs is wrong."""
    with pytest.raises(InputError, match=r"inputs\[1\] is empty"):
        service.classify_now([GOOD, TextInput(text=" ")], DEFAULT)
    with pytest.raises(InputError, match=r"inputs\.text_pair is empty"):
        service.classify_now([TextInput(text="good", text_pair="")], DEFAULT)
    with pytest.raises(InputError, match="inputs is empty"):
        service.classify_now([], DEFAULT)
    with pytest.raises(InputError, match="257 inputs"):
        service.classify_now([GOOD] * 257, DEFAULT)


def test_long_text_is_an_error_or_truncated_visibly(service: InferenceService) -> None:
    """Nothing is dropped silently."""
    long = TextInput(text="good " * 100)
    with pytest.raises(InputError) as caught:
        service.classify_now([long], DEFAULT)
    assert caught.value.details == {"tokens": 102, "limit": 48, "field": "inputs"}
    usage = service.classify_now([long], ClassifyParameters(truncation="truncate")).usage[0]
    assert (usage.tokens, usage.truncated, usage.tokens_dropped) == (48, True, 54)


def test_awaited_answers_equal_blocking_ones(service: InferenceService) -> None:
    """A hundred requests at once, both variants, long text tokenised beside the loop."""

    async def ask() -> list[Any]:
        requests = []
        for index in range(100):
            text = TextInput(text="bad film " * (1 + index % 20) if index else "good " * 4000)
            parameters = ClassifyParameters(variant=("int8", "fp32")[index % 2], truncation="truncate")
            requests.append((text, parameters))
        answers = await asyncio.gather(*(service.classify([text], parameters) for text, parameters in requests))
        return [(text, parameters, answer) for (text, parameters), answer in zip(requests, answers, strict=True)]

    for text, parameters, answer in asyncio.run(ask()):
        alone = service.classify_now([text], parameters)
        if parameters.variant == "int8":
            assert np.array_equal(answer.logits[0], alone.logits[0])
        assert answer.usage == alone.usage
        assert [item.label for item in answer.results[0]] == [item.label for item in alone.results[0]]


def test_timings_add_up(service: InferenceService) -> None:
    """Every stage is measured and none is negative."""
    timings = service.classify_now([GOOD], DEFAULT).timings
    stages = (timings.tokenize_s, timings.queue_s, timings.compute_s, timings.postprocess_s)
    assert all(0 < stage < 5 for stage in stages)


def test_models_machine_and_memory_are_described(service: InferenceService) -> None:
    """JSON that the API passes on."""
    models = {(entry["name"], entry["version"]): entry for entry in service.models()}
    assert models["tiny", "2"]["default"]
    assert not models["tiny", "1"]["default"]
    assert not models["three", "1"]["default"]
    assert models["spans", "1"]["default"]
    int8 = models["tiny", "2"]["variants"]["int8"]
    assert int8["loaded"]
    assert int8["integer_only"]
    assert int8["engine"].startswith("native:")
    assert int8["bytes_at_fp32"] == 120000
    machine = service.machine()
    assert machine["kernels"]["active"] in machine["kernels"]["available"]
    assert machine["threads"]["workers"] >= 1
    memory = service.memory("tiny", "int8")
    assert memory.weights_bytes > 0
    assert service.report_path("tiny").read_text().startswith("<!doctype html>")
    with pytest.raises(NotFoundError):
        service.memory("tiny", "int4")


def test_version_that_was_never_used_is_listed_and_used_later(tmp_path: Path) -> None:
    """By its manifest alone; a broken one is listed with its error and refused, while the newest keeps serving."""
    old = make_package(tmp_path).directory
    make_package(tmp_path, version="2", seed=2)
    service = start(tmp_path)
    assert [entry["version"] for entry in service.models()] == ["1", "2"]
    (old / "tokenizer.json").unlink()
    with pytest.raises(PackageError, match=r"tokenizer\.json"):
        service.classify_now([GOOD], ClassifyParameters(version="1"))
    edit_manifest(old, arithmetic_version=9)
    assert service.models()[0]["code"] == "arithmetic_version_unknown"
    assert service.classify_now([GOOD], DEFAULT).model.version == "2"
    assert service.close(10)


def test_without_a_default_the_request_must_name_a_model(store: Path) -> None:
    """Two classifiers, none configured."""
    service = start(store)
    with pytest.raises(InputError, match="three, tiny") as caught:
        service.classify_now([GOOD], DEFAULT)
    assert caught.value.code == "model_required"
    assert service.close(10)


def flip(directory: Path) -> None:
    path = directory / "fp32.onnx"
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "code", "text"),
    [
        (flip, "hash_mismatch", "fp32.onnx"),
        (lambda d: (d / "tokenizer.json").unlink(), "file_missing", "tokenizer.json"),
        (lambda d: (d / "notes.txt").write_text("x"), "file_extra", "notes.txt"),
        (lambda d: edit_manifest(d, arithmetic_version=2), "arithmetic_version_unknown", "2"),
        (lambda d: shutil.rmtree(d.parent), "config_invalid", "no model"),
        (lambda d: shutil.rmtree(d.parent.parent), "store_not_found", "no model store"),
    ],
)
def test_damaged_store_is_never_ready_and_says_why(
    tmp_path: Path, damage: Callable[[Path], object], code: str, text: str
) -> None:
    """The same reason from `start`, `status` and every request; closing is clean."""
    damage(make_package(tmp_path / "store").directory)
    service = InferenceService(ServiceSettings(store=tmp_path / "store"))
    status = service.start()
    assert (status.state, status.code, status.ready) == ("failed", code, False)
    assert status.reason is not None
    assert text in status.reason
    assert service.status() == status
    with pytest.raises(UnavailableError, match=text) as caught:
        service.classify_now([GOOD], DEFAULT)
    assert caught.value.code == code
    assert service.close(1)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (flip, "hash_mismatch"),
        (lambda d: edit_manifest(d, arithmetic_version=2), "arithmetic_version_unknown"),
        (lambda d: edit_manifest(d, known_answers=[{"text": "good", "digest": "0" * 64}]), "self_test_failed"),
    ],
)
def test_an_older_version_serves_when_the_newest_must_not(
    tmp_path: Path, damage: Callable[[Path], object], code: str
) -> None:
    """The start passes over it, says so, and the version can be neither asked for nor activated."""
    make_package(tmp_path)
    make_package(tmp_path, version="2", seed=2)
    make_package(tmp_path, name="spans", task="question-answering")
    damage(make_package(tmp_path, version="3", seed=3).directory)
    service = start(tmp_path)
    assert service.classify_now([GOOD], DEFAULT).model.version == "2"
    assert [(item.model, item.version, item.error.code) for item in service.refusals()] == [("tiny", "3", code)]
    with pytest.raises(PackageError):
        service.classify_now([GOOD], ClassifyParameters(version="3"))
    with pytest.raises(ActivationError) as caught:
        service.activate("tiny", "3")
    assert caught.value.code == code
    assert service.activate("tiny", "1").previous == "2"
    assert service.close(5)


def test_a_model_without_a_good_version_stops_the_start(tmp_path: Path) -> None:
    """The reason is the newest version's."""
    flip(make_package(tmp_path).directory)
    edit_manifest(make_package(tmp_path, version="2", seed=2).directory, arithmetic_version=2)
    status = InferenceService(ServiceSettings(store=tmp_path)).start()
    assert status.code == "arithmetic_version_unknown"


def test_first_use_of_a_variant_keeps_the_deadline(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can't wait for the loading is told so in time; who comes later finds the variant loaded."""
    service, load = start(store), Catalog.engine
    release = threading.Event()

    def slowly(catalog: Catalog, target: Target) -> Engine:
        assert release.wait(10)
        return load(catalog, target)

    monkeypatch.setattr(Catalog, "engine", slowly)
    asked = ClassifyParameters(model="three", variant="fp32", timeout_s=0.05)
    begun_s = time.monotonic()
    with pytest.raises(DeadlineError, match="was not loaded in time"):
        asyncio.run(_released(service, asked, release, begun_s))
    assert service.classify_now([GOOD], replace(asked, timeout_s=5)).model.variant == "fp32"
    assert service.close(5)


async def _released(
    service: InferenceService, asked: ClassifyParameters, release: threading.Event, begun_s: float
) -> None:
    try:
        await service.classify([GOOD], asked)
    finally:
        assert time.monotonic() - begun_s < 5
        release.set()


def test_wrong_known_answer_stops_the_start(tmp_path: Path) -> None:
    """An engine that computes other bits than at build time must not serve."""
    make_package(tmp_path, known_answers=(KnownAnswer(text="good", digest="0" * 64),))
    status = InferenceService(ServiceSettings(store=tmp_path)).start()
    assert status.code == "self_test_failed"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"kernels": "sse9"}, "kernel_unknown"),
        ({"default_models": {"text-classification": "huge"}}, "config_invalid"),
        ({"default_models": {"question-answering": "tiny"}}, "config_invalid"),
        ({"queue_tokens": 40, "batch_tokens": 40}, "config_invalid"),
        ({"queue_tokens": 100, "batch_tokens": 101}, "config_invalid"),
        ({"workers": 1000}, "config_invalid"),
    ],
)
def test_impossible_settings_are_found_at_start(tmp_path: Path, settings: dict[str, Any], code: str) -> None:
    """Not by the first request that hangs."""
    make_package(tmp_path)
    status = InferenceService(ServiceSettings(store=tmp_path, **settings)).start()
    assert (status.state, status.code) == ("failed", code)


@pytest.mark.parametrize("kernels", ["portable", None])
def test_kernel_set_changes_no_bit(store: Path, service: InferenceService, kernels: str | None) -> None:
    """The forced set is the one that answers."""
    other = start(store, kernels=kernels, default_models={"text-classification": "tiny"})
    asked = ClassifyParameters(return_digest=True)
    assert other.classify_now([GOOD], asked).digests == service.classify_now([GOOD], asked).digests
    assert kernels is None or other.machine()["kernels"]["active"] == kernels
    assert other.close(10)


def test_requests_before_start_and_after_close_are_refused(store: Path) -> None:
    """Draining still serves; stopped does not."""
    service = InferenceService(ServiceSettings(store=store, default_models={"text-classification": "tiny"}))
    assert service.status().state == "starting"
    with pytest.raises(UnavailableError):
        service.classify_now([GOOD], DEFAULT)
    service.start()
    service.drain()
    assert service.status().state == "draining"
    assert not service.status().ready
    assert service.classify_now([GOOD], DEFAULT).results
    assert service.close(10)
    assert service.status().state == "stopped"
    with pytest.raises(UnavailableError) as caught:
        service.classify_now([GOOD], DEFAULT)
    assert caught.value.code == "draining"


def test_overload_admits_all_or_nothing(store: Path) -> None:
    """A request whose inputs can never fit together is the client's error."""
    settings = {"queue_tokens": 60, "batch_tokens": 60, "default_models": {"text-classification": "tiny"}}
    service = start(store, **settings)
    with pytest.raises(InputError, match="tokens in one request"):
        service.classify_now([GOOD] * 13, DEFAULT)
    assert len(service.classify_now([GOOD] * 12, DEFAULT).results) == 12
    assert service.close(10)


def test_unreachable_timeout_is_a_deadline_error(service: InferenceService) -> None:
    """Either refused at once, dropped, or given up while waiting: the same class."""
    with pytest.raises(DeadlineError):
        service.classify_now([GOOD] * 100, replace(DEFAULT, timeout_s=1e-7))


def test_cancelled_request_leaves_nothing_behind(service: InferenceService) -> None:
    """A client that goes away mid-request; the next request finds an empty queue."""

    async def ask() -> None:
        tasks = [asyncio.create_task(service.classify([GOOD] * 50, DEFAULT)) for _ in range(20)]
        await asyncio.sleep(0.001)
        for task in tasks[1:]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not any(isinstance(result, OverloadedError | PackageError) for result in results)

    asyncio.run(ask())
    assert service.classify_now([GOOD], DEFAULT).results


def test_loaded_variants_are_reported_once(store: Path) -> None:
    """The observer learns of eager variants at start and of FP32 on its first use."""
    loaded: list[tuple[str, str, bool]] = []

    class Recorder(SilentObserver):
        def on_variant_loaded(
            self, *, model: str, version: str, variant: str, sha256: str, weights_bytes: int, default: bool
        ) -> None:
            assert len(sha256) == 64
            assert weights_bytes > 0
            loaded.append((model, variant, default))

    settings = ServiceSettings(store=store, default_models={"text-classification": "tiny"})
    service = InferenceService(settings, Recorder())
    assert service.start().ready
    assert sorted(loaded) == [("spans", "int8", True), ("three", "int8", True), ("tiny", "int8", True)]
    for _ in range(2):
        service.classify_now([GOOD], ClassifyParameters(variant="fp32"))
    assert loaded[3:] == [("tiny", "fp32", False)]
    assert service.close(10)
