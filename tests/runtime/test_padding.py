"""Padded groups: everyone is in one, and nothing is padded beyond what a run saved is worth."""

from hypothesis import given
from hypothesis import strategies as st

from intbert.runtime.padding import group_by_length

lengths = st.lists(st.integers(1, 512), min_size=1, max_size=60)


@given(lengths, st.sampled_from([0, 16, 100]), st.sampled_from([1, 256, 2048]))
def test_groups_cover_all_within_bounds(sizes: list[int], cost: int, tokens_max: int) -> None:
    """Each index once; no member padded by more than a run costs, no group beyond its size unless alone."""
    groups = group_by_length(sizes, run_cost_tokens=cost, run_tokens_max=tokens_max)
    assert sorted(index for group in groups for index in group.members) == list(range(len(sizes)))
    for group in groups:
        held = [sizes[index] for index in group.members]
        assert group.columns == max(held)
        assert group.columns - min(held) <= cost
        assert group.columns * len(held) <= tokens_max or len(held) == 1


def test_equal_lengths_share_a_run() -> None:
    """Nothing is padded, so only the size of a run limits them."""
    assert [len(group.members) for group in group_by_length([32] * 16)] == [16]
    assert [len(group.members) for group in group_by_length([128] * 8)] == [4, 4]


def test_very_different_lengths_do_not() -> None:
    """A short text next to a long one would be almost all padding."""
    assert len(group_by_length([5, 500])) == 2
