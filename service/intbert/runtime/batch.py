"""The ragged batch: sequences one after another, no padding, no mask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class TokenSequence:
    """One sequence as the engines see it. Both arrays are (tokens,) int32 and not empty."""

    token_ids: NDArray[np.int32]
    type_ids: NDArray[np.int32]

    def __post_init__(self) -> None:
        _check_ids("token_ids", self.token_ids)
        _check_ids("type_ids", self.type_ids)
        if self.token_ids.shape != self.type_ids.shape:
            raise ValueError(f"{self.token_ids.size} token ids but {self.type_ids.size} type ids")
        if self.token_ids.size == 0:
            raise ValueError("a sequence needs at least one token")

    @classmethod
    def of(
        cls, token_ids: Sequence[int] | NDArray[Any], type_ids: Sequence[int] | NDArray[Any] | None = None
    ) -> "TokenSequence":
        """From any integers; type ids default to 0."""
        ids = np.asarray(token_ids, dtype=np.int32)
        types = np.zeros_like(ids) if type_ids is None else np.asarray(type_ids, dtype=np.int32)
        return cls(token_ids=ids, type_ids=types)

    @property
    def tokens(self) -> int:
        return int(self.token_ids.size)


@dataclass(frozen=True, kw_only=True)
class RaggedBatch:
    """Several sequences in one run of an engine."""

    token_ids: NDArray[np.int32]  # (tokens,) sequences one after another, no padding
    type_ids: NDArray[np.int32]  # (tokens,)
    cumulative_lengths: NDArray[np.int32]  # (sequences + 1,) from 0 to tokens

    def __post_init__(self) -> None:
        _check_ids("token_ids", self.token_ids)
        _check_ids("type_ids", self.type_ids)
        ends = self.cumulative_lengths
        if ends.dtype != np.int32 or ends.ndim != 1 or ends.size < 2:
            raise ValueError(f"cumulative_lengths must be int32 (sequences + 1,), got {ends.dtype} {ends.shape}")
        if ends[0] != 0 or ends[-1] != self.token_ids.size or np.any(np.diff(ends) < 1):
            raise ValueError(f"cumulative_lengths must rise from 0 to {self.token_ids.size} without empty sequences")
        if self.token_ids.shape != self.type_ids.shape:
            raise ValueError(f"{self.token_ids.size} token ids but {self.type_ids.size} type ids")

    @classmethod
    def of(cls, sequences: Sequence[TokenSequence]) -> "RaggedBatch":
        """Put sequences one after another. ValueError when there is none."""
        if not sequences:
            raise ValueError("a batch needs at least one sequence")
        ends = np.cumsum([0, *(s.tokens for s in sequences)])
        return cls(
            token_ids=np.concatenate([s.token_ids for s in sequences]),
            type_ids=np.concatenate([s.type_ids for s in sequences]),
            cumulative_lengths=ends.astype(np.int32),
        )

    @property
    def tokens(self) -> int:
        return int(self.token_ids.size)

    @property
    def sequences(self) -> int:
        return int(self.cumulative_lengths.size - 1)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """(sequences,) tokens of each."""
        return np.diff(self.cumulative_lengths)

    def slices(self) -> Iterator[slice]:
        """The tokens of each sequence, in order."""
        for start, end in zip(self.cumulative_lengths[:-1], self.cumulative_lengths[1:], strict=True):
            yield slice(int(start), int(end))


def split_logits(logits: NDArray[Any], batch: RaggedBatch, *, per_token: bool) -> list[NDArray[Any]]:
    """An engine's result, one array a sequence: (labels,), or (its tokens, outputs) for span models. Copies."""
    if per_token:
        return [logits[tokens].copy() for tokens in batch.slices()]
    return [row.copy() for row in logits]


def _check_ids(name: str, array: NDArray[Any]) -> None:
    if array.dtype != np.int32 or array.ndim != 1:
        raise ValueError(f"{name} must be int32 of one dimension, got {array.dtype} with shape {array.shape}")
