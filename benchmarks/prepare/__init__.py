"""Everything that engines read, converted once and kept in the cache. Needs the peers' own tools; no network."""

import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.models import Files, Model, files_of

Say = Callable[[str], None]
Write = Callable[[Model, Files, Path], None]


def prepare(model: Model, cache: Path, *, say: Say) -> Files:
    """Write what is missing of one model's files and return their places. Delete a file to have it made again."""
    files = files_of(model, cache)
    missing = [place for place in places(files) if not place.exists()]
    if missing:
        files.folder.mkdir(parents=True, exist_ok=True)
        for place, write in steps(files):
            if place in missing:
                say(f"preparing {place.relative_to(cache)}")
                write_whole(place, lambda target, write=write: write(model, files, target))  # type: ignore[misc]
    return files


def places(files: Files) -> list[Path]:
    """What `prepare` leaves, in the order of writing."""
    return [
        files.checkpoint,
        files.integer,
        files.onnx,
        files.onnx_fused,
        files.onnx_dynamic,
        files.onnx_qdq,
        files.openvino.parent,
        files.openvino_int8.parent,
        files.ctranslate2,
        files.classifier,
    ]


def steps(files: Files) -> list[tuple[Path, Write]]:
    """Each place with what writes it. The conversion tools are imported here, since they take seconds."""
    from benchmarks.prepare import onnx_files, other_files, source

    writers: list[Write] = [
        source.write_checkpoint,
        source.write_integer,
        source.write_onnx,
        onnx_files.write_fused,
        onnx_files.write_dynamic,
        onnx_files.write_qdq,
        other_files.write_openvino,
        other_files.write_openvino_int8,
        other_files.write_ctranslate2,
        other_files.write_classifier,
    ]
    return list(zip(places(files), writers, strict=True))


def write_whole(place: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a draft beside the place (a folder where the place has no suffix), then rename it."""
    draft = place.with_name(f".draft-{place.name}")
    if draft.is_dir():
        shutil.rmtree(draft)
    draft.unlink(missing_ok=True)
    if not place.suffix:
        draft.mkdir()
    write(draft)
    draft.rename(place)
