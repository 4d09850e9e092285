"""Random integer programs whose activations live: no stage is dead, none saturates throughout, every bound holds.

`extreme_program` does the opposite on purpose: constants at their bounds, so that saturation is what gets compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.bounds import accumulator_bound
from intbert.arithmetic.fixed import int64
from intbert.arithmetic.program import (
    Attention,
    Embedding,
    Gelu,
    Head,
    Layer,
    LayerNorm,
    Linear,
    NarrowLinear,
    Program,
    ResidualLinear,
)

RESIDUAL_STD = 2000  # of a 16-bit residual
VIEW_STD = 30  # of its 8-bit view


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """Sizes of a program; `labels` counts outputs, per sequence with a pooler, otherwise per token."""

    channels: int = 32
    heads: int = 4
    intermediate: int = 64
    layers: int = 2
    vocabulary: int = 100
    positions: int = 64
    labels: int = 3
    pooler: bool = True
    position_offset: int = 0
    relu: bool = False  # in the place of the pooler's tanh


MINILM = Dimensions(
    channels=384, heads=12, intermediate=1536, layers=6, vocabulary=30522, positions=512, labels=2, pooler=True
)


def random_program(seed: int, dimensions: Dimensions | None = None) -> Program:
    """A program with realistic constants; equal seeds give equal programs on every machine."""
    size = dimensions or Dimensions()
    rng = np.random.Generator(np.random.PCG64(seed))
    n = size.channels
    return Program(
        heads=size.heads,
        position_offset=size.position_offset,
        embedding=_embedding(rng, size),
        embedding_norm=_norm(rng, n),
        layers=tuple(_layer(rng, size) for _ in range(size.layers)),
        head=Head(
            pooler=_narrow(rng, n, n, x_std=VIEW_STD, target_std=6000 if size.relu else 2048) if size.pooler else None,
            relu_guard_bits=6 if size.pooler and size.relu else None,
            output=_linear(rng, size.labels, n),
        ),
    )


def random_batch(
    seed: int, program: Program, lengths: list[int]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """token_ids, type_ids (tokens,) and cumulative_lengths (sequences + 1,)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    tokens = sum(lengths)
    token_ids = rng.integers(0, program.embedding.word.shape[0], tokens).astype(np.int32)
    type_ids = rng.integers(0, program.embedding.token_type.shape[0], tokens).astype(np.int32)
    return token_ids, type_ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def extreme_program(seed: int, dimensions: Dimensions | None = None) -> Program:
    """The random program with weights of full magnitude and multipliers at their bounds: most stages saturate."""
    tensors = random_program(seed, dimensions).tensors()
    rng = np.random.Generator(np.random.PCG64(seed))
    for name, array in tensors.items():
        kind = name.rsplit(".", 1)[-1]
        if kind == "weight":
            tensors[name] = (127 * rng.choice([-1, 1], array.shape)).astype(np.int8)
        elif kind in ("multiplier", "score_multiplier") and array.dtype == np.int16:
            tensors[name] = rng.choice([0, 1, 32767], array.shape, p=[0.1, 0.1, 0.8]).astype(np.int16)
        elif kind == "context_multiplier":
            tensors[name] = np.full(array.shape, 32767 * 128, dtype=np.int32)
        elif kind in ("score_shift", "position_shift") or (kind == "shift" and array.ndim == 1):
            tensors[name] = np.zeros_like(array)
        elif kind == "view":
            tensors[name] = rng.choice([0, 1, 32767], array.shape).astype(np.int16)
        elif kind == "gain":
            tensors[name] = rng.choice([-(2**31 - 1), 2**31 - 1], array.shape).astype(np.int32)
        elif kind == "accumulator_shift":
            tensors[name] = np.zeros_like(array)
    return Program.from_tensors(tensors)


def _embedding(rng: np.random.Generator, size: Dimensions) -> Embedding:
    return Embedding(
        word=rng.integers(-127, 128, (size.vocabulary, size.channels)).astype(np.int8),
        word_multiplier=rng.integers(500, 4000, size.vocabulary).astype(np.int16),
        position=_normal(rng, (size.positions, size.channels), 3000, 15000).astype(np.int16),
        token_type=_normal(rng, (2, size.channels), 3000, 15000).astype(np.int16),
        position_shift=3,
    )


def _norm(rng: np.random.Generator, channels: int) -> LayerNorm:
    unit = RESIDUAL_STD * np.sqrt(channels) * 8
    shift = int(min(np.floor(np.log2((2**31 - 1) / (1.5 * unit))), 12))
    gain = np.round(unit * 2**shift * rng.uniform(0.5, 1.5, channels) * rng.choice([-1, 1], channels, p=[0.1, 0.9]))
    beta = _normal(rng, (channels,), RESIDUAL_STD // 2, 4 * RESIDUAL_STD)
    return LayerNorm(
        gain=gain.astype(np.int32),
        bias=((beta << shift) + (1 << (shift - 1))).astype(np.int32),
        shift=shift,
        view=rng.integers(
            *(32768 * VIEW_STD // RESIDUAL_STD // 2, 32768 * VIEW_STD // RESIDUAL_STD * 2), channels
        ).astype(np.int16),
    )


def _linear(rng: np.random.Generator, outputs: int, inputs: int) -> Linear:
    weight = _normal(rng, (outputs, inputs), 35, 127).astype(np.int8)
    bias = _normal(rng, (outputs,), 2000, 10000) - 128 * int64(weight).sum(axis=1)
    return Linear(weight=weight, bias=bias.astype(np.int32))


def _narrow(rng: np.random.Generator, outputs: int, inputs: int, *, x_std: float, target_std: float) -> NarrowLinear:
    """Results spread by about `target_std`, with shifts and multipliers that differ by channel."""
    linear = _linear(rng, outputs, inputs)
    acc_std = 35 * x_std * np.sqrt(inputs)
    wanted = acc_std * 0.75 / target_std * rng.uniform(0.5, 2.0, outputs)
    shift = np.clip(np.round(np.log2(np.maximum(wanted, 1))), 0, 31).astype(np.int64)
    multiplier = np.clip(32768 * target_std * 2.0**shift / acc_std * rng.uniform(0.7, 1.4, outputs), 1, 32767)
    return NarrowLinear(
        weight=linear.weight,
        bias=(linear.bias + ((1 << shift) >> 1)).astype(np.int32),
        shift=shift.astype(np.int32),
        multiplier=multiplier.astype(np.int16),
    )


def _residual(rng: np.random.Generator, outputs: int, inputs: int, *, x_std: float) -> ResidualLinear:
    linear = _linear(rng, outputs, inputs)
    shift = int(np.floor(np.log2((2**31 - 1) / accumulator_bound(linear).max())))
    unit = RESIDUAL_STD * 2**4 * 2**32 / (35 * x_std * np.sqrt(inputs) * 2**shift)
    multiplier = np.minimum(unit * rng.uniform(0.3, 1.5, outputs), 2**31 - 1)
    return ResidualLinear(
        weight=linear.weight,
        bias=linear.bias,
        multiplier=multiplier.astype(np.int32),
        accumulator_shift=shift,
        residual_shift=4,
    )


def _layer(rng: np.random.Generator, size: Dimensions) -> Layer:
    n, head_dim = size.channels, size.channels // size.heads
    score_std = np.sqrt(head_dim) * 45**2
    return Layer(
        qkv=_narrow(rng, 3 * n, n, x_std=VIEW_STD, target_std=6000),
        attention=Attention(
            qkv_guard_bits=7,
            score_shift=np.full(size.heads, 2, dtype=np.int32),
            score_multiplier=(32768 * 1500 * 4 / score_std * rng.uniform(0.1, 1.0, size.heads))
            .clip(1, 32767)
            .astype(np.int16),
            exp_fraction_bits=10,
            context_multiplier=rng.integers(2**19, 2**21, size.heads).astype(np.int32),
        ),
        attention_output=_residual(rng, n, n, x_std=30),
        attention_norm=_norm(rng, n),
        ffn_input=_narrow(rng, size.intermediate, n, x_std=VIEW_STD, target_std=2900),
        gelu=Gelu(range_shift=2, multiplier=rng.integers(400, 1400, size.intermediate).astype(np.int16), zero_point=9),
        ffn_output=_residual(rng, n, size.intermediate, x_std=40),
        ffn_norm=_norm(rng, n),
    )


def _normal(rng: np.random.Generator, shape: tuple[int, ...], std: int, limit: int) -> NDArray[np.int64]:
    return np.clip(np.round(rng.standard_normal(shape) * std), -limit, limit).astype(np.int64)
