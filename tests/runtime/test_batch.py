"""A ragged batch holds its sequences exactly, and refuses what no engine could compute."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intbert.runtime.batch import RaggedBatch, TokenSequence, split_logits

lengths = st.lists(st.integers(1, 20), min_size=1, max_size=10)


@given(lengths)
def test_batch_holds_its_sequences_in_order(sizes: list[int]) -> None:
    """Cutting at `slices` gives the sequences back."""
    rng = np.random.default_rng(0)
    sequences = [TokenSequence.of(rng.integers(0, 99, size), rng.integers(0, 2, size)) for size in sizes]
    batch = RaggedBatch.of(sequences)
    assert batch.tokens == sum(sizes)
    assert batch.sequences == len(sizes)
    assert batch.lengths.tolist() == sizes
    for sequence, tokens in zip(sequences, batch.slices(), strict=True):
        assert np.array_equal(batch.token_ids[tokens], sequence.token_ids)
        assert np.array_equal(batch.type_ids[tokens], sequence.type_ids)


def test_type_ids_default_to_the_first_type() -> None:
    """A single text has one type."""
    assert TokenSequence.of([5, 6]).type_ids.tolist() == [0, 0]


def test_empty_sequences_and_batches_are_refused() -> None:
    """An engine would divide by nothing."""
    with pytest.raises(ValueError, match="at least one token"):
        TokenSequence.of([])
    with pytest.raises(ValueError, match="at least one sequence"):
        RaggedBatch.of([])


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


@pytest.mark.parametrize("ends", [ids(0, 2), ids(0, 3, 3), ids(1, 3), ids(0, 2, 1, 3), ids(0), np.array([0, 3])])
def test_wrong_lengths_are_refused(ends: np.ndarray) -> None:
    """They must rise from 0 to the number of tokens, in int32."""
    with pytest.raises(ValueError, match="cumulative_lengths"):
        RaggedBatch(token_ids=ids(1, 2, 3), type_ids=ids(0, 0, 0), cumulative_lengths=ends)


def test_wrong_ids_are_refused() -> None:
    """Type, shape and number."""
    with pytest.raises(ValueError, match="must be int32"):
        TokenSequence(token_ids=np.array([1.5]), type_ids=ids(0))
    with pytest.raises(ValueError, match="2 token ids but 1 type ids"):
        TokenSequence(token_ids=ids(1, 2), type_ids=ids(0))
    with pytest.raises(ValueError, match="type ids"):
        RaggedBatch(token_ids=ids(1, 2), type_ids=ids(0), cumulative_lengths=ids(0, 2))


def test_split_logits_do_not_share_memory() -> None:
    """A session may write its next result over the last one."""
    batch = RaggedBatch.of([TokenSequence.of([1, 2]), TokenSequence.of([3])])
    for per_token, rows in ((True, 3), (False, 2)):
        logits = np.arange(2 * rows).reshape(rows, 2)
        parts = split_logits(logits, batch, per_token=per_token)
        logits[:] = -1
        assert np.array_equal(np.concatenate([part.reshape(-1, 2) for part in parts]).reshape(-1), np.arange(2 * rows))
