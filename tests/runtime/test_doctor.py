"""The doctor finds what a server would find."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from intbert.model.manifest import KnownAnswer
from intbert.runtime.doctor import Check, examine
from intbert.runtime.native import supported_kernels
from intbert.runtime.service import InferenceService, ServiceSettings
from tests.model.packages import edit_manifest, make_package


def checks(store: Path, **settings: Any) -> dict[str, Check]:
    diagnosis = examine(ServiceSettings(store=store, **settings))
    found = {check.name: check for check in diagnosis.checks}
    assert len(found) == len(diagnosis.checks)
    assert diagnosis.ok == all(check.ok for check in found.values())
    return found


def test_a_healthy_store(tmp_path: Path) -> None:
    """Machine, limits, and every version with all its variants, loaded and tested."""
    make_package(tmp_path)
    make_package(tmp_path, version="2", seed=2)
    make_package(tmp_path, name="spans", task="question-answering")
    found = checks(tmp_path)
    names = ["cpu", "kernels", "cgroup", "threads", "store", "spans/1", "tiny/1", "tiny/2"]
    assert list(found) == names
    assert all(check.ok for check in found.values())
    assert supported_kernels()[0] in found["kernels"].detail
    assert f"native:{supported_kernels()[0]}" in found["tiny/2"].detail
    assert "onnxruntime" in found["tiny/2"].detail


def wrong_answer(root: Path) -> None:
    shutil.rmtree(root)
    make_package(root, known_answers=(KnownAnswer(text="good", digest="0" * 64),))


def broken_graph(root: Path) -> None:
    """An ONNX file that is no graph, with the hash that the manifest says."""
    (root / "tiny/1/fp32.onnx").write_bytes(b"")
    entry = {"bytes": 0, "sha256": sha256(b"").hexdigest()}
    files = json.loads((root / "tiny/1/manifest.json").read_text(encoding="utf-8"))["files"]
    edit_manifest(root / "tiny/1", files=files | {"fp32.onnx": entry})


@pytest.mark.parametrize(
    ("damage", "settings", "where", "code"),
    [
        (lambda root: (root / "tiny/1/notes.txt").write_text("x"), {}, "tiny/1", "file_extra"),
        (lambda root: edit_manifest(root / "tiny/1", arithmetic_version=9), {}, "tiny/1", "arithmetic_version_unknown"),
        (wrong_answer, {}, "tiny/1", "self_test_failed"),
        (broken_graph, {}, "tiny/1", "onnx_malformed"),
        (lambda root: shutil.rmtree(root / "tiny"), {}, "store", "config_invalid"),
        (shutil.rmtree, {}, "store", "store_not_found"),
        (None, {"kernels": "sse9"}, "kernels", "kernel_unknown"),
        (None, {"workers": 1000}, "threads", "config_invalid"),
        (None, {"queue_tokens": 40, "batch_tokens": 40}, "tiny/1", "config_invalid"),
        (None, {"default_models": {"question-answering": "tiny"}}, "default for question-answering", "config_invalid"),
    ],
)
def test_what_is_wrong_is_named_as_a_server_would(
    tmp_path: Path, damage: Callable[[Path], object] | None, settings: dict[str, Any], where: str, code: str
) -> None:
    """The same code as the failed start, at the thing that is wrong."""
    root = tmp_path / "store"
    make_package(root)
    if damage is not None:
        damage(root)
    found = checks(root, **settings)
    assert (found[where].ok, found[where].code) == (False, code)
    baselines = 1.0 if damage is broken_graph else 0.0  # loaded at the start only when they are compared with
    status = InferenceService(ServiceSettings(store=root, shadow_rate=baselines, **settings)).start()
    assert (status.ready, status.code) == (False, code)
