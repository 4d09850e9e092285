"""`intbert re-export`: a package's integer program again from its kept real scales, without data and without training.

Needed after a change of the arithmetic: the old integers and the real scales give the real parameters back, and those
are exported by the rules of today.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from intbert.arithmetic import ARITHMETIC_VERSION
from intbert.builder.card import INT8
from intbert.builder.failure import BuildError
from intbert.builder.quantise import Exported, reexport
from intbert.builder.report import render_report
from intbert.model.manifest import MANIFEST_FILE, REPORT_FILE, TOKENIZER_FILE, KnownAnswer, Manifest
from intbert.model.package import Package, load_tensors, parse_manifest, write_package
from intbert.model.store import ModelStore
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.engines import encode_known, known_digest
from intbert.runtime.reference import ReferenceEngine
from intbert.runtime.verify import random_sequences, verify_sequences

VERIFIED_SEQUENCES = 32


def reexport_package(
    *,
    store: Path,
    model: str,
    version: str | None = None,
    new_version: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Package:
    """Export a stored package again, as `new_version` or in its own place; returns the verified package.

    The package may be of an earlier arithmetic version. Its card is kept, with a note when the integers changed, since
    accuracy is then that of the earlier export. Raises NotFoundError, PackageError, BuildError.
    """
    old = open_any_arithmetic(ModelStore(store).path(model, version))
    tensors = {name: _tensors(old, name) for name in old.manifest.integer_variants}
    exported = {name: reexport(tensors[name], _scales(old, name)) for name in tensors}
    same = all(_same_tensors(tensors[name], exported[name].program.tensors()) for name in tensors)
    say("the integers are the same" if same else "the integers changed; evaluate the model again")
    manifest = _manifest(old, exported, new_version or old.manifest.version, same=same)
    names = [variant.file for variant in manifest.variants.values()] + [TOKENIZER_FILE]
    files: dict[str, bytes | Path] = {name: old.read(name) for name in names}
    files |= {manifest.variants[name].file: save(made.program.tensors()) for name, made in exported.items()}
    files[REPORT_FILE] = render_report(manifest)
    destination = store / model / manifest.version
    package = write_package(destination, manifest, files, replace=destination == old.directory)
    for name in exported:
        _verify(package, name)
    say(f"wrote {destination}")
    return package


def _tensors(package: Package, variant: str) -> dict[str, Any]:
    return load_tensors(package.read(package.manifest.variants[variant].file), str(package.directory))


def _scales(package: Package, variant: str) -> dict[str, Any]:
    scales = package.manifest.scales_of(variant)
    if not isinstance(scales, dict):
        raise BuildError(f"{package.directory} keeps no real scales of {variant}; build it again")
    return scales


def open_any_arithmetic(directory: Path) -> Package:
    """A package whatever its arithmetic version says; its files are checked as they are read."""
    path = directory / MANIFEST_FILE
    try:
        raw = path.read_bytes()
        document: Any = json.loads(raw)
    except (OSError, ValueError) as error:
        raise BuildError(f"cannot read {path}: {error}") from error
    if isinstance(document, dict):
        document["arithmetic_version"] = ARITHMETIC_VERSION
    manifest = parse_manifest(json.dumps(document).encode(), directory)
    return Package(directory=directory, manifest=manifest, sha256=sha256(raw).hexdigest())


def _manifest(old: Package, exported: Mapping[str, Exported], version: str, *, same: bool) -> Manifest:
    """The old manifest with what the export changed."""
    manifest = old.manifest
    variants = {
        name: manifest.variants[name].model_copy(
            update={"logit_scale": made.logit_scale, **({} if name == INT8 else {"scales": made.scales.to_json()})}
        )
        for name, made in exported.items()
    }
    answers = [_answer(old, known, exported[known.variant]) for known in manifest.known_answers]
    note = "" if same else " Exported again: the int8 figures are those of the earlier export."
    card = manifest.card.model_copy(
        update={
            "notes": manifest.card.notes + note,
            "measured": {**manifest.card.measured, "exported_again": {"from": old.sha256, "same_integers": same}},
        }
    )
    return manifest.model_copy(
        update={
            "arithmetic_version": ARITHMETIC_VERSION,
            "version": version,
            "variants": {**manifest.variants, **variants},
            "scales": exported[INT8].scales.to_json(),
            "known_answers": tuple(answers),
            "card": card,
        }
    )


def _answer(old: Package, known: KnownAnswer, exported: Exported) -> KnownAnswer:
    """The same text's new digest."""
    session = ReferenceEngine(exported.program, logit_scale=exported.logit_scale).session(1)
    sequence = encode_known(old.tokenizer(), known.text, known.text_pair, old.manifest.max_tokens)
    return known.model_copy(update={"digest": known_digest(session.run(RaggedBatch.of([sequence])))})


def _same_tensors(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return old.keys() == new.keys() and all(np.array_equal(old[name], new[name]) for name in old)


def _verify(package: Package, variant: str) -> None:
    """All implementations on random tokens; BuildError when they disagree."""
    found = verify_sequences(package, random_sequences(package, VERIFIED_SEQUENCES), variant=variant)
    if not found.identical:
        raise BuildError(f"implementations disagree on the new program: {found.implementations}")
