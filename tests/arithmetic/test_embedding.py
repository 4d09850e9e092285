"""Embedding sums: exact, and within sum22 by the proved bound."""

import numpy as np

from intbert.arithmetic.bounds import check_bounds
from intbert.arithmetic.embedding import embed
from intbert.arithmetic.fixed import SUM22_MAX
from tests.arithmetic.programs import random_program


def test_sum_is_exact() -> None:
    """One token's sum in plain Python integers."""
    table = random_program(1).embedding
    ids = [np.array([value]) for value in (7, 1, 5)]
    expected = [
        int(word) * int(table.word_multiplier[7]) + ((int(position) + int(kind)) << table.position_shift)
        for word, position, kind in zip(table.word[7], table.position[5], table.token_type[1], strict=True)
    ]
    assert embed(*ids, table).tolist() == [expected]


def test_every_combination_is_within_sum22() -> None:
    """No word, type and position together exceed sum22 in a program that passes the bounds."""
    program = random_program(2)
    check_bounds(program)
    words, types, positions = np.meshgrid(np.arange(100), np.arange(2), np.arange(64), indexing="ij")
    assert np.abs(embed(words.ravel(), types.ravel(), positions.ravel(), program.embedding)).max() <= SUM22_MAX
