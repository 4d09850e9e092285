"""What a measured engine is."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = Sequence[NDArray[np.int32]]  # token ids of each sequence


class Engine(Protocol):
    """A loaded model. `prepare` is not timed, `run` is."""

    def prepare(self, rows: Rows) -> Any:
        """The rows as the library takes them, padded where it must be."""

    def run(self, prepared: Any) -> NDArray[Any]:
        """(sequences, labels)."""


def padded(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and mask, (sequences, longest)."""
    longest = max(len(row) for row in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask


def feeds(rows: Rows) -> dict[str, NDArray[np.int64]]:
    """By the names of BERT's inputs."""
    ids, mask = padded(rows)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
