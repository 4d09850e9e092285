"""Stages of a build: each leaves a folder and a marker, so that `resume` skips what is finished and valid."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from intbert.builder.failure import BuildError

JsonObject = dict[str, Any]
INPUTS_FILE = "inputs.json"
DONE_FILE = "done.json"


@dataclass(kw_only=True)
class Stages:
    """The stages of one build, in order. A stage's inputs include those of all stages before it."""

    folder: Path
    resume: bool
    say: Callable[[str], None]
    _chain: str = field(default="", init=False)

    def __post_init__(self) -> None:
        """Refuse to overwrite an earlier build by accident: hours of training may be in it."""
        if not self.resume and any(self.folder.glob(f"*/{INPUTS_FILE}")):
            raise BuildError(
                f"work directory {self.folder} holds an earlier build; add --resume to go on with it, or name another"
            )

    def run(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], JsonObject]) -> JsonObject:
        """Run `work(folder of the stage)` unless it is done for the same inputs; returns its JSON result.

        A stage that was begun with the same inputs keeps its folder (checkpoints); one with others starts empty, and
        what it left before is kept once, as `<name>.old`.
        """
        self._chain = self._extended(inputs)
        return self._run(name, self._chain, work)

    def branch(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], JsonObject]) -> JsonObject:
        """As `run`, for a stage that the later ones do not depend on (or say so in their own inputs)."""
        return self._run(name, self._extended(inputs), work)

    def result(self, name: str) -> JsonObject | None:
        """What a stage of this build returned; None before its end."""
        return _read(self.folder / name / DONE_FILE)

    def _extended(self, inputs: Mapping[str, Any]) -> str:
        return sha256((self._chain + json.dumps(inputs, sort_keys=True)).encode()).hexdigest()

    def _run(self, name: str, chain: str, work: Callable[[Path], JsonObject]) -> JsonObject:
        folder = self.folder / name
        if _read(folder / INPUTS_FILE) != {"sha256": chain}:
            self._set_aside(folder)
        elif (done := _read(folder / DONE_FILE)) is not None:
            self.say(f"{name}: already done")
            return done
        self.say(f"{name}: running")
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / INPUTS_FILE, {"sha256": chain})
        result = work(folder)
        _write(folder / DONE_FILE, result)
        return result

    def _set_aside(self, folder: Path) -> None:
        if folder.exists():
            old = folder.with_name(f"{folder.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            self.say(f"{folder.name}: recipe or data changed; the earlier result is in {old}")


def _read(path: Path) -> JsonObject | None:
    """A marker, or None when it is missing or half-written."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _write(path: Path, value: JsonObject) -> None:
    """Write a marker so that a crash leaves the old one or the new one."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1), encoding="utf-8")
    part.replace(path)
