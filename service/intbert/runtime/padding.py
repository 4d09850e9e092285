"""Padded groups for engines that can't take ragged batches: a pure policy.

Padding costs as much as text, and on CPUs a larger batch gains little, so sequences share a run only when next to
nothing is padded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

PADDING_RATIO_MAX = 0.1
PADDED_TOKENS_MAX = 2048


@dataclass(frozen=True, kw_only=True)
class PaddedGroup:
    """Indices of sequences that run together, padded to `columns` tokens."""

    members: tuple[int, ...]
    columns: int


def group_by_length(
    lengths: Sequence[int] | NDArray[Any],
    *,
    padding_ratio_max: float = PADDING_RATIO_MAX,
    padded_tokens_max: int = PADDED_TOKENS_MAX,
) -> list[PaddedGroup]:
    """Every sequence in one group; in no group is more than `padding_ratio_max` of the rectangle padding.

    A group's rectangle exceeds `padded_tokens_max` only if it has one member.
    """
    order = sorted(range(len(lengths)), key=lambda index: int(lengths[index]))
    groups: list[PaddedGroup] = []
    members: list[int] = []
    tokens = 0
    for index in order:
        length = int(lengths[index])
        rectangle = (len(members) + 1) * length
        fits = rectangle - tokens - length <= padding_ratio_max * rectangle and rectangle <= padded_tokens_max
        if members and not fits:
            groups.append(PaddedGroup(members=tuple(members), columns=int(lengths[members[-1]])))
            members, tokens = [], 0
        members.append(index)
        tokens += length
    if members:
        groups.append(PaddedGroup(members=tuple(members), columns=int(lengths[members[-1]])))
    return groups
