"""The prediction cache: logits of sequences that were computed before, in a bounded number of bytes.

Only for integer-only variants: their logits are the same bits whenever, wherever and in whatever company they are
computed, so that nothing but latency tells whether they were.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.runtime.batch import TokenSequence
from intbert.runtime.observer import Observer
from intbert.runtime.queue import Output

ENTRY_BYTES = 400  # of key, array header and links, beside the logits themselves


@dataclass(frozen=True, kw_only=True)
class CacheScope:
    """What computes: equal scopes give equal logits for equal sequences. `sha256` is the package's."""

    model: str
    variant: str
    sha256: str


class PredictionCache:
    """Thread-safe, least recently used goes first. With a capacity of 0 it holds nothing and counts nothing."""

    def __init__(self, capacity_bytes: int, observer: Observer) -> None:
        self._capacity_bytes = capacity_bytes
        self._observer = observer
        self._lock = Lock()
        self._entries: OrderedDict[bytes, NDArray[Any]] = OrderedDict()
        self._bytes = 0

    @property
    def enabled(self) -> bool:
        return self._capacity_bytes > 0

    def find(self, scope: CacheScope, sequences: Sequence[TokenSequence]) -> list[Output | None]:
        """One a sequence: an output that took no time, or None where it has to be computed."""
        keys = [key_of(scope, sequence) for sequence in sequences]
        with self._lock:
            found = [self._entries.get(key) for key in keys]
            for key, logits in zip(keys, found, strict=True):
                if logits is not None:
                    self._entries.move_to_end(key)
        hits = sum(logits is not None for logits in found)
        self._observer.on_cache(model=scope.model, variant=scope.variant, hits=hits, misses=len(found) - hits)
        return [None if logits is None else _remembered(logits) for logits in found]

    def keep(self, scope: CacheScope, sequences: Sequence[TokenSequence], outputs: Sequence[Output]) -> None:
        """Remember what was computed, as far as there is room for it."""
        for sequence, output in zip(sequences, outputs, strict=True):
            logits = output.logits.copy()
            logits.setflags(write=False)
            self._put(key_of(scope, sequence), logits)
        with self._lock:
            held = self._bytes
        self._observer.on_cache_size(held_bytes=held)

    def _put(self, key: bytes, logits: NDArray[Any]) -> None:
        size = size_bytes(logits)
        if size > self._capacity_bytes:
            return
        with self._lock:
            replaced = self._entries.pop(key, None)
            self._bytes += size - (0 if replaced is None else size_bytes(replaced))
            self._entries[key] = logits
            while self._bytes > self._capacity_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= size_bytes(oldest)


def size_bytes(logits: NDArray[Any]) -> int:
    """What one entry is counted with."""
    return int(logits.nbytes) + ENTRY_BYTES


def key_of(scope: CacheScope, sequence: TokenSequence) -> bytes:
    """SHA-256 over package, variant, token ids and type ids. The count before the ids keeps the parts apart."""
    digest = sha256(f"{scope.sha256}\n{scope.variant}\n{sequence.tokens}\n".encode())
    for ids in (sequence.token_ids, sequence.type_ids):
        digest.update(np.ascontiguousarray(ids, dtype="<i4").tobytes())
    return digest.digest()


def _remembered(logits: NDArray[Any]) -> Output:
    return Output(logits=logits, queue_s=0.0, compute_s=0.0, batch_tokens=0, batch_sequences=0)
