"""Random architectures with random constants and batches, for comparing implementations of the whole program."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.bounds import check_bounds
from intbert.arithmetic.program import Program
from intbert.runtime.batch import RaggedBatch
from tests.arithmetic.programs import Dimensions, extreme_program, random_batch, random_program


@dataclass(frozen=True, kw_only=True)
class Case:
    """A program and a batch that it accepts."""

    program: Program
    batch: RaggedBatch


def random_case(seed: int) -> Case:
    """Any architecture: odd sizes, one or many heads, no pooler or one of both kinds; one in four saturates."""
    rng = np.random.Generator(np.random.PCG64(seed))
    make = extreme_program if rng.integers(4) == 0 else random_program
    program = make(seed, random_dimensions(rng))
    check_bounds(program)
    return Case(program=program, batch=batch_of(program, seed, random_lengths(rng, program)))


def random_dimensions(rng: np.random.Generator) -> Dimensions:
    """Channels are heads * head_dim; neither need be a multiple of anything."""
    heads = int(rng.integers(1, 7))
    head_dim = int(rng.choice([1, 4, 20, 32, 33, 64, 96, 128]))
    return Dimensions(
        channels=heads * head_dim,
        heads=heads,
        intermediate=int(rng.integers(1, 300)),
        layers=int(rng.integers(0, 4)),
        positions=int(rng.integers(1, 150)) + 2,
        labels=int(rng.integers(1, 80)),
        pooler=bool(rng.integers(2)),
        position_offset=int(rng.choice([0, 2])),
        relu=bool(rng.integers(2)),
    )


def random_lengths(rng: np.random.Generator, program: Program) -> list[int]:
    """One to six sequences, short ones and the longest that the program accepts among them."""
    longest = program.embedding.position.shape[0] - program.position_offset
    short = min(longest, 8)
    return [int(rng.choice([1, rng.integers(1, short + 1), longest])) for _ in range(rng.integers(1, 7))]


def batch_of(program: Program, seed: int, lengths: list[int]) -> RaggedBatch:
    """Random ids in sequences of these lengths."""
    token_ids, type_ids, cumulative_lengths = random_batch(seed, program, lengths)
    return RaggedBatch(token_ids=token_ids, type_ids=type_ids, cumulative_lengths=cumulative_lengths)


def single(batch: RaggedBatch, tokens: slice) -> RaggedBatch:
    """One sequence of a batch as a batch of its own."""
    length: NDArray[np.int32] = np.array([0, tokens.stop - tokens.start], dtype=np.int32)
    return RaggedBatch(token_ids=batch.token_ids[tokens], type_ids=batch.type_ids[tokens], cumulative_lengths=length)
