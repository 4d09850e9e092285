"""Padded groups: everyone is in one, and next to nothing is padded."""

from hypothesis import given
from hypothesis import strategies as st

from intbert.runtime.padding import group_by_length

lengths = st.lists(st.integers(1, 512), min_size=1, max_size=60)


@given(lengths, st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([1, 256, 2048]))
def test_groups_cover_all_within_bounds(sizes: list[int], ratio: float, tokens_max: int) -> None:
    """Each index once; no group beyond its padding ratio, nor beyond its size unless alone."""
    groups = group_by_length(sizes, padding_ratio_max=ratio, padded_tokens_max=tokens_max)
    assert sorted(index for group in groups for index in group.members) == list(range(len(sizes)))
    for group in groups:
        held = [sizes[index] for index in group.members]
        rectangle = group.columns * len(held)
        assert group.columns == max(held)
        assert rectangle - sum(held) <= ratio * rectangle
        assert rectangle <= tokens_max or len(held) == 1


def test_equal_lengths_share_a_run() -> None:
    """Nothing is padded, so nothing speaks against it."""
    assert [len(group.members) for group in group_by_length([128] * 8)] == [8]


def test_very_different_lengths_do_not() -> None:
    """A short text next to a long one would be almost all padding."""
    assert len(group_by_length([5, 500])) == 2
