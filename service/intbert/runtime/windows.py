"""Windows over a document of any length, for span questions: pure code over token ids."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intbert.errors import InputError
from intbert.model.tokenizer import PairLayout


@dataclass(frozen=True, kw_only=True)
class Window:
    """One sequence for the engine and the part of the context that it holds."""

    token_ids: NDArray[np.int32]
    type_ids: NDArray[np.int32]
    context_position: int  # index in token_ids of its first context token
    context_start: int  # index in the document of its first context token
    context_end: int  # one past its last


def window_starts(context_tokens: int, capacity: int, overlap: int) -> list[int]:
    """First document token of every window: steps of capacity - overlap, the last one ends at the document's end.

    Raises ValueError unless 0 <= overlap < capacity.
    """
    if not 0 <= overlap < capacity:
        raise ValueError(f"an overlap of {overlap} tokens does not fit windows of {capacity} context tokens")
    if context_tokens <= capacity:
        return [0]
    last = context_tokens - capacity
    return [*range(0, last, capacity - overlap), last]


def split_windows(
    question_ids: NDArray[np.int32],
    context_ids: NDArray[np.int32],
    layout: PairLayout,
    *,
    window_tokens_max: int,
    overlap_tokens: int,
    tokens_max: int | None = None,
) -> list[Window]:
    """Cut the context into windows of at most window_tokens_max tokens, question and special tokens included.

    InputError `too_many`, before any is made, when they have more than `tokens_max` tokens together.
    """
    special_tokens = len(layout.prefix) + len(layout.middle) + len(layout.suffix)
    capacity = window_tokens_max - special_tokens - len(question_ids)
    if capacity < 1:
        raise ValueError(f"a question of {len(question_ids)} tokens leaves no room in windows of {window_tokens_max}")
    head = np.concatenate([np.asarray(layout.prefix), question_ids, np.asarray(layout.middle)]).astype(np.int32)
    suffix = np.asarray(layout.suffix, dtype=np.int32)
    windows = []
    # A short capacity (long question) must still advance, so the overlap is at most half of it.
    starts = window_starts(len(context_ids), capacity, min(overlap_tokens, capacity // 2))
    total = len(starts) * (len(head) + len(suffix)) + sum(min(capacity, len(context_ids) - start) for start in starts)
    if tokens_max is not None and total > tokens_max:
        raise InputError.too_many(what="tokens", count=total, limit=tokens_max)
    for start in starts:
        part = context_ids[start : start + capacity]
        types = np.full(len(head) + len(part) + len(suffix), layout.second_type, dtype=np.int32)
        types[: len(head)] = layout.first_type
        windows.append(
            Window(
                token_ids=np.concatenate([head, part, suffix]).astype(np.int32),
                type_ids=types,
                context_position=len(head),
                context_start=start,
                context_end=start + len(part),
            )
        )
    return windows
