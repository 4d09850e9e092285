"""A package directory: verified before one byte of it is used, written so that a half-written one is never seen."""

import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from intbert.arithmetic import ARITHMETIC_VERSION
from intbert.arithmetic.bounds import BoundsError, check_bounds, tokens_max
from intbert.arithmetic.program import Program
from intbert.errors import (
    ArithmeticVersionError,
    ExtraFileError,
    FormatVersionError,
    GateError,
    HashMismatchError,
    ManifestError,
    MissingFileError,
    NotFoundError,
    PackageError,
    ProgramBoundsError,
    SizeMismatchError,
    TensorError,
    UnsafePathError,
)
from intbert.model.durable import put_in_place, workplace_beside, write_durably
from intbert.model.manifest import FORMAT_VERSION, MANIFEST_FILE, TOKENIZER_FILE, FileEntry, Manifest, TensorEntry
from intbert.model.onnx_file import check_self_contained
from intbert.model.tensor_file import read_tensors
from intbert.model.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package whose file list, sizes and hashes held when it was opened; every later read checks its file again."""

    directory: Path
    manifest: Manifest
    sha256: str  # of manifest.json

    @classmethod
    def open(cls, directory: Path) -> "Package":
        """Verify everything but the program's bounds (see `program`). A PackageError names file and values."""
        raw = read_manifest_bytes(directory)
        manifest = parse_manifest(raw, directory)
        package = cls(directory=directory, manifest=manifest, sha256=sha256(raw).hexdigest())
        _check_file_list(directory, manifest)
        onnx_files = {variant.file for variant in manifest.variants.values() if variant.engine == "onnx"}
        for name in manifest.files:
            package.verify(name)
            if name in onnx_files:
                check_self_contained(_mapped(directory / name), f"{directory}: {name}")
        _check_gate(manifest, directory)
        return package

    def verify(self, name: str) -> None:
        """Check a listed file's size and hash without holding its content."""
        path = self._sized(name)
        with path.open("rb") as file:
            self._check_hash(path, file_digest(file, "sha256").hexdigest())

    def read(self, name: str) -> bytes:
        """A listed file's content, its size and hash checked now, so that what is used is what was verified."""
        path = self._sized(name)
        content = path.read_bytes()
        self._check_hash(path, sha256(content).hexdigest())
        return content

    def _sized(self, name: str) -> Path:
        if name not in self.manifest.files:
            raise NotFoundError.of("file", name, sorted(self.manifest.files), where=str(self.directory))
        path = self.directory / name
        size, expected = path.stat().st_size, self.manifest.files[name].bytes
        if size != expected:
            raise SizeMismatchError(f"{path} has {size} bytes, the manifest says {expected}; copy the package again")
        return path

    def _check_hash(self, path: Path, digest: str) -> None:
        expected = self.manifest.files[path.name].sha256
        if digest != expected:
            raise HashMismatchError(
                f"{path} is damaged: its SHA-256 is {digest}, the manifest says {expected}; copy the package again"
            )

    def program(self, variant: str = "int8") -> Program:
        """The integer program, its tensors as listed in the manifest and its bounds proved again."""
        name = self._variant_file(variant, "integer")
        tensors = self._tensors(name)
        listed = self.manifest.tensors_of(variant)
        if {key: _tensor_entry(array) for key, array in tensors.items()} != listed:
            raise TensorError(f"{self.directory}: the tensors of {name} are not those that the manifest lists")
        try:
            program = Program.from_tensors(tensors)
        except (KeyError, ValueError, IndexError) as error:
            raise TensorError(f"{self.directory}: {name} is no integer program: {error}") from error
        try:
            check_bounds(program)
        except BoundsError as error:
            raise ProgramBoundsError(f"{self.directory}: {name} could overflow: {error}") from error
        _check_agreement(program, self.manifest, f"{self.directory}: {name}")
        return program

    def _tensors(self, name: str) -> dict[str, Any]:
        path = self._sized(name)
        try:
            tensors, digest = read_tensors(path, f"{self.directory}: {name}")
        except TensorError:
            self.verify(name)  # a damaged file is called damaged
            raise
        self._check_hash(path, digest)
        return tensors

    def onnx(self, variant: str = "fp32") -> bytes:
        """The ONNX model of a float variant."""
        return self.read(self._variant_file(variant, "onnx"))

    def tokenizer(self) -> Tokenizer:
        """The package's tokenizer."""
        return Tokenizer.from_json(self.read(TOKENIZER_FILE), where=str(self.directory))

    def _variant_file(self, variant: str, engine: str) -> str:
        known = sorted(name for name, entry in self.manifest.variants.items() if entry.engine == engine)
        if variant not in known:
            raise NotFoundError.of("variant", variant, known, where=self.manifest.name)
        return self.manifest.variants[variant].file


def parse_manifest(raw: bytes, directory: Path) -> Manifest:
    """Check versions and paths first, since they have errors of their own, then the schema."""
    where = directory / MANIFEST_FILE
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ManifestError(f"{where} must be a JSON object, not {type(data).__name__}")
    if data.get("format_version") != FORMAT_VERSION:
        raise FormatVersionError(
            f"{where} has format version {data.get('format_version')!r}, this intbert reads {FORMAT_VERSION}"
        )
    if data.get("arithmetic_version") != ARITHMETIC_VERSION:
        raise ArithmeticVersionError(
            f"{where} has arithmetic version {data.get('arithmetic_version')!r}, this intbert computes "
            f"{ARITHMETIC_VERSION}; export the model again"
        )
    for name in data["files"] if isinstance(data.get("files"), dict) else ():
        _check_file_name(name, where)
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ManifestError(f"{where}: {place}: {first['msg']}") from error


def write_package(
    destination: Path, manifest: Manifest, files: Mapping[str, bytes | Path], *, replace: bool = False
) -> Package:
    """Write a package at `destination` (<store>/<name>/<version>) and return it, verified as a server would.

    files: name -> content, or a file to copy; all but manifest.json. The manifest's `files`, `tensors` and variants'
    `bytes` are filled here. An existing version is an error unless `replace`.
    """
    if (destination.parent.name, destination.name) != (manifest.name, manifest.version):
        raise ManifestError(f"{destination} must end in {manifest.name}/{manifest.version}, the names in the manifest")
    if destination.exists() and not replace:
        raise PackageError(f"{destination} exists; choose another version or replace it", code="version_exists")
    with workplace_beside(destination, prefix=".writing-") as workplace:
        staged = workplace / manifest.name / manifest.version
        staged.mkdir(parents=True)
        _write_files(staged, manifest, files)
        package = Package.open(staged)
        for name, variant in package.manifest.variants.items():
            if variant.engine == "integer":
                package.program(name)
        package.tokenizer()
        if destination.exists():
            destination.rename(workplace / "old")  # goes with the workplace
        put_in_place(staged, destination)
    return Package(directory=destination, manifest=package.manifest, sha256=package.sha256)


def load_tensors(content: bytes, where: str) -> dict[str, Any]:
    """name -> array of a safetensors file, in order of names. TensorError when it is none.

    The library's own order differs from call to call, and what is listed in the manifest is hashed as the package.
    """
    try:
        tensors: dict[str, Any] = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise TensorError(f"{where} is not a readable safetensors file: {error}") from error
    return dict(sorted(tensors.items()))


def read_manifest_bytes(directory: Path) -> bytes:
    """The unparsed manifest; a package's hash is that of these bytes. MissingFileError, UnsafePathError."""
    for path in (directory, directory / MANIFEST_FILE):
        if path.is_symlink():
            raise UnsafePathError(f"{path} is a symbolic link; a package must hold its files itself")
    if not directory.is_dir():
        raise MissingFileError(f"{directory} is not a directory")
    if not (directory / MANIFEST_FILE).is_file():
        raise MissingFileError(f"{directory} has no {MANIFEST_FILE}, so it is no model package")
    return (directory / MANIFEST_FILE).read_bytes()


def _mapped(path: Path) -> memoryview:
    """A file's content, of which only what is looked at comes into memory."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b"")


def _check_file_name(name: str, where: Path) -> None:
    if name in ("", ".", "..", MANIFEST_FILE) or "/" in name or "\\" in name or "\0" in name or name.startswith("."):
        raise UnsafePathError(f"{where} lists the file {name!r}; only plain names inside the package are allowed")


def _check_file_list(directory: Path, manifest: Manifest) -> None:
    present = {path.name: path for path in directory.iterdir()}
    for name, path in present.items():
        if path.is_symlink():
            raise UnsafePathError(f"{path} is a symbolic link; a package must hold its files itself")
        if not path.is_file():
            raise ExtraFileError(f"{path} is not a plain file; remove it")
        if name != MANIFEST_FILE and name not in manifest.files:
            raise ExtraFileError(f"{path} is not listed in the manifest; remove it")
    needed = {*manifest.files, TOKENIZER_FILE, *(variant.file for variant in manifest.variants.values())}
    for name in sorted(needed):
        if name not in present:
            raise MissingFileError(f"{directory / name} is missing; copy the package again")
        if name not in manifest.files:
            raise ManifestError(f"{directory / MANIFEST_FILE} needs {name} but does not list it")


def _check_agreement(program: Program, manifest: Manifest, where: str) -> None:
    """What the service reads from the manifest must be true of the program."""
    said = manifest.architecture
    pairs = {
        "vocabulary": (said.vocabulary, program.embedding.word.shape[0]),
        "positions": (said.positions, program.embedding.position.shape[0]),
        "token_types": (said.token_types, program.embedding.token_type.shape[0]),
        "channels": (said.channels, program.embedding.word.shape[1]),
        "layers": (said.layers, len(program.layers)),
        "heads": (said.heads, program.heads),
        "outputs": (len(manifest.labels) or 2, program.head.output.weight.shape[0]),
        "one answer a sequence": (manifest.task == "text-classification", program.head.pooler is not None),
    }
    for what, (expected, found) in pairs.items():
        if expected != found:
            raise TensorError(f"{where} has {what} {found}, the manifest says {expected}")
    if manifest.max_tokens > tokens_max(program):
        raise TensorError(f"{where} takes {tokens_max(program)} tokens, the manifest says {manifest.max_tokens}")


def _check_gate(manifest: Manifest, directory: Path) -> None:
    gate = manifest.gate
    if manifest.gate_drop > gate.allowed_drop:
        raise GateError(
            f"{directory}: {gate.variant} loses {manifest.gate_drop:.3f} of {gate.metric} against {gate.baseline}, "
            f"its gate allows {gate.allowed_drop}; build it again"
        )


def _write_files(staged: Path, manifest: Manifest, files: Mapping[str, bytes | Path]) -> None:
    entries = {}
    tensors: dict[str, dict[str, TensorEntry]] = {}
    integer_files = [variant.file for variant in manifest.variants.values() if variant.engine == "integer"]
    for name, source in files.items():
        _check_file_name(name, staged)
        content = source if isinstance(source, bytes) else source.read_bytes()
        write_durably(staged / name, content)
        entries[name] = FileEntry(bytes=len(content), sha256=sha256(content).hexdigest())
        if name in integer_files:
            tensors[name] = {key: _tensor_entry(array) for key, array in load_tensors(content, name).items()}
    first = tensors.pop(next(iter(integer_files), ""), {})
    variants = {
        name: variant.model_copy(
            update={
                "bytes": entries[variant.file].bytes if variant.file in entries else 0,
                "tensors": tensors.get(variant.file, {}),
            }
        )
        for name, variant in manifest.variants.items()
    }
    complete = manifest.model_copy(update={"files": entries, "tensors": first, "variants": variants})
    write_durably(staged / MANIFEST_FILE, (complete.model_dump_json(indent=1) + "\n").encode())


def _tensor_entry(array: Any) -> TensorEntry:
    name = str(array.dtype)
    if name not in ("int8", "int16", "int32"):
        raise TensorError(f"an integer program has a tensor of type {name}; only int8, int16 and int32 are allowed")
    return TensorEntry.model_validate({"dtype": name, "shape": array.shape})
