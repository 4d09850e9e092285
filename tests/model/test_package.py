"""Every way in which a package can be damaged has its own error, and nothing half-written is ever seen."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from intbert.arithmetic.encoder import forward
from intbert.errors import (
    ArithmeticVersionError,
    ExternalDataError,
    ExtraFileError,
    FormatVersionError,
    GateError,
    HashMismatchError,
    IntbertError,
    ManifestError,
    MissingFileError,
    NotFoundError,
    PackageError,
    ProgramBoundsError,
    SizeMismatchError,
    TensorError,
    UnsafePathError,
)
from intbert.model.manifest import Card
from intbert.model.package import Package, write_package
from intbert.model.tensor_file import read_tensors
from tests.arithmetic.programs import random_batch, random_program
from tests.model.packages import (
    dimensions,
    edit_manifest,
    float_graph,
    make_files,
    make_manifest,
    make_package,
)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """A fresh package that a test may damage."""
    return make_package(tmp_path / "store")


def flip_byte(directory: Path) -> None:
    path = directory / "int8.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def append_byte(directory: Path) -> None:
    with (directory / "tokenizer.json").open("ab") as file:
        file.write(b" ")


def replace_by_link(directory: Path) -> None:
    target = directory.parent / "elsewhere"
    (directory / "fp32.onnx").rename(target)
    (directory / "fp32.onnx").symlink_to(target)


def list_outside_path(directory: Path) -> None:
    files = json.loads((directory / "manifest.json").read_text())["files"]
    edit_manifest(directory, files={**files, "../../secret": files["fp32.onnx"]})


def unlist_needed_file(directory: Path) -> None:
    files = json.loads((directory / "manifest.json").read_text())["files"]
    del files["fp32.onnx"]
    edit_manifest(directory, files=files)


CORRUPTIONS: list[tuple[str, Callable[[Path], object], type[IntbertError], str]] = [
    ("flipped byte", flip_byte, HashMismatchError, "int8.safetensors is damaged"),
    ("longer file", append_byte, SizeMismatchError, "tokenizer.json has"),
    ("missing file", lambda d: (d / "report.html").unlink(), MissingFileError, "report.html is missing"),
    ("missing manifest", lambda d: (d / "manifest.json").unlink(), MissingFileError, "no manifest.json"),
    ("extra file", lambda d: (d / "run.py").write_text(""), ExtraFileError, "run.py is not listed"),
    ("extra folder", lambda d: (d / "more").mkdir(), ExtraFileError, "more is not a plain file"),
    ("fifo", lambda d: os.mkfifo(d / "pipe"), ExtraFileError, "pipe is not a plain file"),
    ("symlink", replace_by_link, UnsafePathError, "symbolic link"),
    ("path outside", list_outside_path, UnsafePathError, "../../secret"),
    ("unlisted file", unlist_needed_file, ExtraFileError, "fp32.onnx is not listed"),
    ("no JSON", lambda d: (d / "manifest.json").write_text("{"), ManifestError, "not JSON"),
    ("no object", lambda d: (d / "manifest.json").write_text("[1]"), ManifestError, "must be a JSON object"),
    ("unknown format", lambda d: edit_manifest(d, format_version=99), FormatVersionError, "version 99"),
    ("unknown arithmetic", lambda d: edit_manifest(d, arithmetic_version=2), ArithmeticVersionError, "version 2"),
    ("unknown field", lambda d: edit_manifest(d, surprise=1), ManifestError, "surprise"),
    ("wrong type", lambda d: edit_manifest(d, max_tokens="many"), ManifestError, "max_tokens"),
    ("no labels", lambda d: edit_manifest(d, labels=[]), ManifestError, "labels"),
    ("unknown default", lambda d: edit_manifest(d, default_variant="int4"), ManifestError, "int4"),
]


@pytest.mark.parametrize(("damage", "error", "text"), [c[1:] for c in CORRUPTIONS], ids=[c[0] for c in CORRUPTIONS])
def test_every_corruption_is_refused_with_its_own_error(
    package: Package, damage: Callable[[Path], object], error: type[IntbertError], text: str
) -> None:
    """The error's class says what kind, its message which file."""
    damage(package.directory)
    with pytest.raises(error, match=text) as caught:
        Package.open(package.directory)
    assert type(caught.value) is error


def test_error_codes_differ() -> None:
    """A monitor can tell the kinds apart by code."""
    kinds = {c[2] for c in CORRUPTIONS} | {ExternalDataError, TensorError, ProgramBoundsError, GateError}
    assert len({kind.default_code for kind in kinds}) == len(kinds)


def test_package_reads_back_what_was_written(package: Package) -> None:
    """The program computes the same logits, and the manifest's hash names the package."""
    again = Package.open(package.directory)
    expected = random_program(1, dimensions())
    batch = random_batch(3, expected, [5, 1, 9])
    assert np.array_equal(forward(again.program(), *batch), forward(expected, *batch))
    assert again.sha256 == package.sha256
    assert again.manifest.variants["int8"].bytes == (package.directory / "int8.safetensors").stat().st_size
    assert again.manifest.variants["fp32"].bytes_at_fp32 == 120000


def test_changed_file_is_noticed_when_it_is_read_again(package: Package) -> None:
    """What is used is what was verified, also when a variant is loaded long after the start."""
    content = package.onnx()
    (package.directory / "fp32.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(HashMismatchError, match="fp32.onnx"):
        package.onnx()


def test_unknown_variant_names_the_known_ones(package: Package) -> None:
    """Asking for a float variant as a program is the same mistake."""
    with pytest.raises(NotFoundError, match="known: int8"):
        package.program("fp32")
    with pytest.raises(NotFoundError, match="known: fp32"):
        package.onnx("int4")


def write(tmp_path: Path, **files: bytes) -> Package:
    """A package with some files replaced; "fp32_onnx" stands for "fp32.onnx"."""
    size = dimensions()
    program = random_program(1, size)
    replaced = {name.replace("_", ".", 1): content for name, content in files.items()}
    return write_package(
        tmp_path / "tiny" / "1", make_manifest(program, size), {**make_files(program, size), **replaced}
    )


def test_external_data_is_refused(tmp_path: Path) -> None:
    """An ONNX file could otherwise read any file of the machine."""
    with pytest.raises(ExternalDataError, match="other files"):
        write(tmp_path, fp32_onnx=float_graph(dimensions(), external=True))


@pytest.mark.parametrize("content", [b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x3a\xff\x01", b"\x0b"])
def test_broken_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    """Bytes that are no protobuf are told from a valid file."""
    with pytest.raises(ExternalDataError, match="not a readable ONNX file"):
        write(tmp_path, fp32_onnx=content)


def test_broken_tensors_are_refused(tmp_path: Path) -> None:
    """No safetensors, tensors of another kind, and tensors of no program are each refused while writing."""
    tensors = random_program(1, dimensions()).tensors()
    for content, text in (
        (b"nothing", "not a readable safetensors file"),
        (save({**tensors, "extra": np.zeros(3, np.int8)}), "no integer program"),
        (save({**tensors, "heads": np.zeros((), np.float32)}), "float32"),
        (save({k: v for k, v in tensors.items() if k != "head.output.bias"}), "head.output.bias"),
    ):
        with pytest.raises(TensorError, match=text):
            write(tmp_path, int8_safetensors=content)


def test_program_that_could_overflow_is_refused(tmp_path: Path) -> None:
    """Bounds are proved again at load."""
    tensors = random_program(1, dimensions()).tensors()
    tensors["head.output.bias"] = np.full_like(tensors["head.output.bias"], 2**31 - 1)
    with pytest.raises(ProgramBoundsError, match="head.output"):
        write(tmp_path, int8_safetensors=save(tensors))


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("max_tokens", 49, "takes 48 tokens, the manifest says 49"),
        ("labels", ("a", "b", "c"), "outputs 2, the manifest says 3"),
        ("architecture", {"heads": 8}, "heads 4, the manifest says 8"),
        ("architecture", {"vocabulary": 101}, "vocabulary 100, the manifest says 101"),
    ],
)
def test_manifest_must_be_true_of_the_program(tmp_path: Path, field: str, value: Any, text: str) -> None:
    """A wrong limit or label count would show only in the answers."""
    size = dimensions()
    program = random_program(1, size)
    manifest = make_manifest(program, size)
    if isinstance(value, dict):
        value = manifest.architecture.model_copy(update=value)
    with pytest.raises(TensorError, match=text):
        write_package(
            tmp_path / "tiny" / "1", make_manifest(program, size, **{field: value}), make_files(program, size)
        )


def test_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    """The library's own error is translated."""
    with pytest.raises(TensorError, match=r"not a readable tokenizer\.json"):
        write(tmp_path, tokenizer_json=b"{}")


def test_model_below_its_own_gate_is_refused(tmp_path: Path) -> None:
    """A card that breaks the gate never gets ready, or written."""
    with pytest.raises(GateError, match="loses 4.000"):
        make_package(tmp_path, card=Card(metrics={"int8": {"accuracy": 86.0}, "fp32": {"accuracy": 90.0}}))


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """Neither a half-written version nor the workplace stays."""
    with pytest.raises(TensorError):
        write(tmp_path, int8_safetensors=b"")
    assert list((tmp_path / "tiny").iterdir()) == []


def test_existing_version_stays_unless_replaced(package: Package) -> None:
    """Overwriting has to be asked for; a failed replacement leaves the old version."""
    store = package.directory.parent.parent
    size = dimensions()
    program = random_program(2, size)
    manifest = make_manifest(program, size)
    with pytest.raises(PackageError, match="exists"):
        make_package(store)
    with pytest.raises(TensorError):
        write_package(package.directory, manifest, {**make_files(program, size), "int8.safetensors": b""}, replace=True)
    assert Package.open(package.directory).sha256 == package.sha256
    replaced = write_package(package.directory, manifest, make_files(program, size), replace=True)
    assert Package.open(package.directory).sha256 == replaced.sha256 != package.sha256


def test_same_files_and_card_are_the_same_package(package: Package) -> None:
    """A package's hash tells whether a build was repeated, so it must not depend on the run."""
    size = dimensions()
    program = random_program(1, size)
    manifest, files = make_manifest(program, size), make_files(program, size)
    hashes = {write_package(package.directory, manifest, files, replace=True).sha256 for _ in range(5)}
    assert len(hashes) == 1


def test_place_must_match_the_names(tmp_path: Path) -> None:
    """A package in another model's folder would answer for it."""
    size = dimensions()
    program = random_program(1, size)
    with pytest.raises(ManifestError, match="must end in tiny/1"):
        write_package(tmp_path / "other" / "1", make_manifest(program, size), make_files(program, size))


def test_files_may_be_copied_from_paths(tmp_path: Path) -> None:
    """Large files need not pass through memory twice."""
    size = dimensions()
    program = random_program(1, size)
    source = tmp_path / "model.onnx"
    source.write_bytes(float_graph(size))
    package = write_package(
        tmp_path / "tiny" / "1", make_manifest(program, size), {**make_files(program, size), "fp32.onnx": source}
    )
    assert package.onnx() == source.read_bytes()


def test_tensors_are_separate_and_complete(package: Package) -> None:
    """Read one by one, each tensor is freed alone; a damaged file is called damaged, whatever its header says."""
    path = package.directory / "int8.safetensors"
    tensors, digest = read_tensors(path, "tiny")
    assert digest == package.manifest.files["int8.safetensors"].sha256
    assert all(array.base is None for array in tensors.values())
    content = path.read_bytes()
    for damaged in (content[:-1] + bytes([content[-1] ^ 1]), b"\x00" * len(content)):
        path.write_bytes(damaged)
        with pytest.raises(HashMismatchError, match="int8.safetensors"):
            package.program()
