"""A stream of sequences of mixed lengths, the same for every engine."""

import numpy as np

from benchmarks.engines.protocol import Rows

TOKENS_MEAN = 40
TOKENS_MIN, TOKENS_MAX = 4, 256
SIGMA = 0.53  # batches of 16 in order of arrival, padded to their longest, then hold 2.3 times the real tokens


def random_lengths(random: np.random.Generator, sequences: int) -> list[int]:
    """Log-normal, as the lengths of texts are, cut to the limits."""
    drawn = random.lognormal(np.log(TOKENS_MEAN) - SIGMA**2 / 2, SIGMA, sequences)
    return [int(length) for length in np.clip(np.rint(drawn), TOKENS_MIN, TOKENS_MAX)]


def random_rows(random: np.random.Generator, lengths: list[int], vocabulary: int) -> Rows:
    """Uniformly random tokens: embedding rows come from all over the table."""
    return [random.integers(1, vocabulary, length, dtype=np.int32) for length in lengths]


def in_batches(rows: Rows, batch: int) -> list[Rows]:
    """In order of arrival."""
    return [rows[start : start + batch] for start in range(0, len(rows), batch)]


def generator(seed: int) -> np.random.Generator:
    """Named, so that every version of NumPy draws the same."""
    return np.random.Generator(np.random.PCG64(seed))
