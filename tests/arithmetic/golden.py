"""Golden vectors: what version 1 of the arithmetic computed once, so that no later change of a bit goes unnoticed.

`python -m tests.arithmetic.golden` writes them anew, which belongs in the same commit as a new arithmetic version.

`<case>.safetensors`: an integer program. `programs.json`: for each case batches of token_ids, type_ids,
cumulative_lengths and the expected logits. `operations.json`: for each operation its arguments and result.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from intbert.arithmetic import ARITHMETIC_VERSION
from intbert.arithmetic.encoder import forward
from intbert.arithmetic.fixed import (
    integer_sqrt,
    multiply_high32,
    multiply_round_q15,
    saturate8,
    saturate16,
    saturate22,
    shift_round,
)
from intbert.arithmetic.gelu import gelu
from intbert.arithmetic.layernorm import standardise
from intbert.arithmetic.linear import narrow_to_s8
from intbert.arithmetic.program import Program
from intbert.arithmetic.relu import relu_to_u8
from intbert.arithmetic.softmax import exp2_negative_q15, normalise_context, softmax_numerators
from intbert.arithmetic.tanh import tanh_to_s8
from tests.arithmetic.programs import Dimensions, extreme_program, random_batch, random_program

FOLDER = Path(__file__).parents[1] / "data" / "golden"
LENGTHS = ([1], [40], [3, 17, 1, 29])
OPERATIONS: dict[str, Callable[..., Any]] = {
    operation.__name__: operation
    for operation in (
        *(saturate8, saturate16, saturate22, shift_round, multiply_round_q15, multiply_high32, integer_sqrt),
        *(narrow_to_s8, standardise, exp2_negative_q15, softmax_numerators, normalise_context, gelu, tanh_to_s8),
        relu_to_u8,
    )
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One program of the golden set."""

    make: Callable[[int, Dimensions], Program]
    seed: int
    dimensions: Dimensions


SMALL = Dimensions(channels=48, heads=3, intermediate=80, layers=2, vocabulary=64, positions=48)
CASES = {
    "classify": Case(make=random_program, seed=11, dimensions=SMALL),
    "spans": Case(
        make=random_program,
        seed=12,
        dimensions=Dimensions(
            channels=40, heads=5, intermediate=56, layers=2, vocabulary=64, positions=48, labels=2, pooler=False
        ),
    ),
    "extreme": Case(make=extreme_program, seed=13, dimensions=SMALL),
    "relu": Case(
        make=random_program,
        seed=14,
        dimensions=Dimensions(
            channels=24, heads=2, intermediate=40, layers=1, vocabulary=64, positions=48, labels=5, relu=True
        ),
    ),
}


def program_vectors(case: Case, program: Program) -> list[dict[str, Any]]:
    """Random batches with the logits of the reference."""
    vectors = []
    for lengths in LENGTHS:
        names = ("token_ids", "type_ids", "cumulative_lengths")
        batch = dict(zip(names, random_batch(case.seed, program, list(lengths)), strict=True))
        logits = forward(program, **batch)
        vectors.append({name: array.tolist() for name, array in (batch | {"logits": logits}).items()})
    return vectors


def operation_vectors() -> dict[str, list[dict[str, Any]]]:
    """Arguments and results, at random and at the limits."""
    return {
        name: [
            {"arguments": [_plain(item) for item in arguments], "result": _plain(OPERATIONS[name](*arguments))}
            for arguments in calls
        ]
        for name, calls in _calls(np.random.Generator(np.random.PCG64(14))).items()
    }


def read_json(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def read_program(case: str) -> Program:
    return Program.from_tensors(load_file(FOLDER / f"{case}.safetensors"))


def write() -> None:
    """Write all files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    programs = {name: case.make(case.seed, case.dimensions) for name, case in CASES.items()}
    for name, program in programs.items():
        tensors = {key: np.array(array, order="C") for key, array in program.tensors().items()}
        (FOLDER / f"{name}.safetensors").write_bytes(save(tensors))
    vectors = {name: program_vectors(CASES[name], program) for name, program in programs.items()}
    _write_json("programs.json", {"arithmetic_version": ARITHMETIC_VERSION, "programs": vectors})
    _write_json("operations.json", {"arithmetic_version": ARITHMETIC_VERSION, "operations": operation_vectors()})


def _calls(rng: np.random.Generator) -> dict[str, list[tuple[Any, ...]]]:
    """Arguments for every operation of `OPERATIONS`."""
    s16 = np.concatenate([rng.integers(-(2**15), 2**15, 40), [-32768, -1, 0, 1, 32767]])
    s32 = np.concatenate([rng.integers(-(2**31) + 1, 2**31, 40), [-(2**31) + 1, -1, 0, 1, 2**31 - 1]])
    q15 = rng.integers(0, 2**15, s16.size)
    roots = np.concatenate([rng.integers(2**60, 2**62, 20), [1, 2, 3, 4, 2**30 - 1, 2**60, 2**62 - 1]])
    rows = np.concatenate([rng.integers(-(2**21) + 1, 2**21, (3, 33)), rng.integers(-50, 50, (2, 33))])
    rows[4] = 7
    numerators = rng.integers(0, 256, (3, 60))
    numerators[:, 0] = 255
    sums = numerators @ rng.integers(-127, 128, (60, 8))
    denominator = numerators.sum(axis=1, keepdims=True)
    return {
        **{name: [(s32,), (s16,)] for name in ("saturate8", "saturate16", "saturate22")},
        "shift_round": [(s32, shift) for shift in (0, 1, 7, 20)],
        "multiply_round_q15": [(s16, q15), (s16, np.full_like(s16, 32767))],
        "multiply_high32": [(s32, s32[::-1].copy()), (s32, np.full_like(s32, 2**31 - 1))],
        "integer_sqrt": [(roots,)],
        "narrow_to_s8": [(s16, bits) for bits in (1, 4, 7)],
        "standardise": [(rows,)],
        "exp2_negative_q15": [(np.arange(0, 2**15, 331), bits) for bits in (8, 9, 10, 11)],
        "softmax_numerators": [
            (rng.integers(-(2**20), 2**20, (3, 25)), shift, multiplier, 10)
            for shift, multiplier in ((0, 300), (6, 20000), (12, 32767))
        ],
        "normalise_context": [(sums, denominator, multiplier) for multiplier in (0, 2**20, 32767 * 128)],
        "gelu": [(s16, shift) for shift in range(5)],
        "tanh_to_s8": [(s16,)],
        "relu_to_u8": [(s16, bits) for bits in (1, 6, 7)],
    }


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else int(value)


def _write_json(name: str, content: Any) -> None:
    text = json.dumps(content, separators=(",", ":")).replace('},{"', '},\n{"')
    (FOLDER / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
