"""What every task's answer says beside the answer itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """Which model answered; `sha256` is that of the package's manifest, which holds the hash of every other file."""

    name: str
    version: str
    variant: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one input cost. `tokens` counts what was computed, special tokens included."""

    tokens: int
    windows: int = 1
    truncated: bool = False
    tokens_dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Seconds of one request; of several inputs the longest wait and the longest compute.

    `begun_s`, `computed_s`: when the first stage began and when all logits were there, in monotonic time.
    """

    begun_s: float
    tokenize_s: float
    queue_s: float
    compute_s: float
    computed_s: float
    postprocess_s: float


class Result(Protocol):
    """What the results of all tasks have in common."""

    @property
    def model(self) -> ModelRef: ...
    @property
    def results(self) -> Sequence[Any]: ...
    @property
    def usage(self) -> Sequence[Usage]: ...
    @property
    def digests(self) -> Sequence[str] | None: ...
    @property
    def timings(self) -> Timings: ...


def document(result: Result) -> dict[str, Any]:
    """The answer as JSON has it, over HTTP and from commands."""
    body: dict[str, Any] = {"results": result.results, "usage": result.usage, "model": result.model}
    if result.digests is not None:
        body["digests"] = result.digests
    return body


def digest_of(logits: NDArray[Any]) -> str:
    """SHA-256 of int32 logits, little endian, in hexadecimal. TypeError for any other type: floats have no digest."""
    if logits.dtype != np.int32:
        raise TypeError(f"a digest is defined over int32 logits, got {logits.dtype}")
    return sha256(np.ascontiguousarray(logits).astype("<i4", copy=False).tobytes()).hexdigest()
