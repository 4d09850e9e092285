"""Windows: every context token is seen, no window is too long, and each advances."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intbert.errors import InputError
from intbert.model.tokenizer import PairLayout
from intbert.runtime.windows import split_windows, window_starts

BERT = PairLayout(prefix=(101,), middle=(102,), suffix=(102,), first_type=0, second_type=1)


@given(tokens=st.integers(1, 3000), capacity=st.integers(1, 400), overlap=st.integers(0, 399))
def test_windows_cover_the_document_and_advance(tokens: int, capacity: int, overlap: int) -> None:
    """Consecutive windows leave no gap, keep at least the overlap asked for, and end exactly at the document's end."""
    overlap = min(overlap, capacity - 1)
    starts = window_starts(tokens, capacity, overlap)
    assert starts[0] == 0
    assert max(starts[-1] + capacity, tokens) == (tokens if tokens > capacity else capacity)
    for before, after in pairwise(starts):
        assert before < after <= before + capacity - overlap


def test_a_window_holds_question_and_context_between_special_tokens() -> None:
    """The token and type ids are those of the pair that the tokenizer would make."""
    question = np.array([7, 8], dtype=np.int32)
    context = np.arange(20, 30, dtype=np.int32)
    windows = split_windows(question, context, BERT, window_tokens_max=11, overlap_tokens=2)
    assert windows[0].token_ids.tolist() == [101, 7, 8, 102, 20, 21, 22, 23, 24, 25, 102]
    assert windows[0].type_ids.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert [(w.context_start, w.context_end) for w in windows] == [(0, 6), (4, 10)]
    assert all(len(w.token_ids) <= 11 and w.context_position == 4 for w in windows)


def test_a_question_that_fills_the_window_is_an_error() -> None:
    """Rather than an empty window, the caller gets a message with the sizes."""
    with pytest.raises(ValueError, match="leaves no room"):
        split_windows(np.arange(9), np.arange(5), BERT, window_tokens_max=12, overlap_tokens=2)


def test_an_overlap_as_large_as_the_window_is_an_error() -> None:
    """It could never advance."""
    with pytest.raises(ValueError, match="does not fit"):
        window_starts(100, 10, 10)


def test_too_many_tokens_are_refused_before_windows_are_made() -> None:
    """The error has the very number that the windows would have."""
    question, context = np.arange(3, dtype=np.int32), np.arange(500, dtype=np.int32)
    split = partial(split_windows, question, context, BERT, window_tokens_max=20, overlap_tokens=4)
    total = sum(len(window.token_ids) for window in split())
    assert len(split(tokens_max=total)) == len(split())
    with pytest.raises(InputError, match=f"{total} tokens in one request, more than the limit of {total - 1}"):
        split(tokens_max=total - 1)
