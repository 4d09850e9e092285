"""The integer program of one model: every constant that the arithmetic reads, as named arrays.

Arrays keep their storage type. `Program.from_tensors` and `Program.tensors` translate to and from the flat names of
`int8.safetensors`; a scalar is stored as an int32 array of shape (). Shapes: n channels, i intermediate channels,
a heads.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

S8 = NDArray[np.int8]
S16 = NDArray[np.int16]
S32 = NDArray[np.int32]
Tensors = Mapping[str, NDArray[Any]]

STORAGE: dict[Any, np.dtype[Any]] = {
    S8: np.dtype(np.int8),
    S16: np.dtype(np.int16),
    S32: np.dtype(np.int32),
    int: np.dtype(np.int32),
}


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Tables of the embedding sum (6.1)."""

    word: S8  # (vocabulary, n)
    word_multiplier: S16  # (vocabulary,) a word row's scale in units of the sum's scale
    position: S16  # (positions, n)
    token_type: S16  # (types, n)
    position_shift: int


@dataclass(frozen=True, kw_only=True)
class LayerNorm:
    """Constants of (3.5) and (3.6)."""

    gain: S32  # (n,) gamma sqrt(n) / S_out * 2^(shift + 3)
    bias: S32  # (n,) beta / S_out * 2^shift + 2^(shift - 1)
    shift: int
    view: S16  # (n,) the 8-bit view's multiplier: its scale is S_out * 2^15 / view[c]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Exact accumulation (2.1)."""

    weight: S8  # (outputs, inputs)
    bias: S32  # (outputs,) real bias, less zero point * sum of weights, plus the rounding constant of `shift`


@dataclass(frozen=True, kw_only=True)
class NarrowLinear(Linear):
    """A linear layer that ends in 16 bits (2.2)."""

    shift: S32  # (outputs,)
    multiplier: S16  # (outputs,) normally in [2^14, 2^15)


@dataclass(frozen=True, kw_only=True)
class ResidualLinear(Linear):
    """A linear layer whose output is added to the residual (2.4)."""

    multiplier: S32  # (outputs,)
    accumulator_shift: int
    residual_shift: int


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Constants of (4.1)-(4.4), one a head, and the guard bits of Q, K, V (2.3)."""

    qkv_guard_bits: int
    score_shift: S32  # (a,)
    score_multiplier: S16  # (a,)
    exp_fraction_bits: int
    context_multiplier: S32  # (a,) S_v / S_context * 2^20


@dataclass(frozen=True, kw_only=True)
class Gelu:
    """Constants of (5.1) and (5.2)."""

    range_shift: int
    multiplier: S16  # (i,)
    zero_point: int


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One encoder layer."""

    qkv: NarrowLinear  # outputs: n of Q, n of K, n of V, heads contiguous in each
    attention: Attention
    attention_output: ResidualLinear
    attention_norm: LayerNorm
    ffn_input: NarrowLinear
    gelu: Gelu
    ffn_output: ResidualLinear
    ffn_norm: LayerNorm


@dataclass(frozen=True, kw_only=True)
class Head:
    """Output layers: logits of the first token through a pooler, or one logit row a token without it (span QA)."""

    pooler: NarrowLinear | None
    relu_guard_bits: int | None = None  # ReLU (7.4) after the pooler, with so many guard bits; None: tanh (7.1)-(7.3)
    output: Linear


@dataclass(frozen=True, kw_only=True)
class Program:
    """The whole model, from token ids to int32 logits."""

    heads: int
    position_offset: int  # position of a sequence's first token: 0 for BERT
    embedding: Embedding
    embedding_norm: LayerNorm
    layers: tuple[Layer, ...]
    head: Head

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> "Program":
        """Build from flat names. KeyError names a missing tensor, ValueError a surplus or wrongly typed one."""
        layers = 1 + max((int(name.split(".")[1]) for name in tensors if name.startswith("layers.")), default=-1)
        used: set[str] = set()
        program = cls(
            heads=_scalar(tensors, "heads", used),
            position_offset=_scalar(tensors, "position_offset", used),
            embedding=_read(Embedding, tensors, "embedding", used),
            embedding_norm=_read(LayerNorm, tensors, "embedding_norm", used),
            layers=tuple(_read(Layer, tensors, f"layers.{i}", used) for i in range(layers)),
            head=_read_head(tensors, used),
        )
        if surplus := sorted(set(tensors) - used):
            raise ValueError(f"tensors that no integer program has: {', '.join(surplus)}")
        return program

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Flat names to arrays, the inverse of `from_tensors`."""
        return dict(_flatten(self, ""))


def _read_head(tensors: Tensors, used: set[str]) -> Head:
    """Without `head.pooler` every token has outputs; without `head.relu_guard_bits` the pooler ends in tanh."""
    pooled = "head.pooler.weight" in tensors
    rectified = pooled and "head.relu_guard_bits" in tensors
    return Head(
        pooler=_read(NarrowLinear, tensors, "head.pooler", used) if pooled else None,
        relu_guard_bits=_scalar(tensors, "head.relu_guard_bits", used) if rectified else None,
        output=_read(Linear, tensors, "head.output", used),
    )


def _scalar(tensors: Tensors, name: str, used: set[str]) -> int:
    used.add(name)
    array = _typed(tensors, name, int)
    if array.shape:
        raise ValueError(f"tensor {name} has shape {array.shape}, expected a scalar")
    return int(array.item())


def _typed(tensors: Tensors, name: str, kind: Any) -> NDArray[Any]:
    array = tensors[name]
    if array.dtype != STORAGE[kind]:
        raise ValueError(f"tensor {name} is {array.dtype}, expected {STORAGE[kind]}")
    return array


def _read(kind: type[Any], tensors: Tensors, prefix: str, used: set[str]) -> Any:
    """Fill the dataclass `kind` from the tensors below `prefix`."""
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        path = f"{prefix}.{name}"
        if is_dataclass(hint):
            values[name] = _read(hint, tensors, path, used)  # type: ignore[arg-type]
        elif hint is int:
            values[name] = _scalar(tensors, path, used)
        else:
            values[name] = _typed(tensors, path, hint)
            used.add(path)
    return kind(**values)


def _flatten(node: Any, prefix: str) -> Iterator[tuple[str, NDArray[Any]]]:
    if node is None:
        return
    if isinstance(node, int):
        yield prefix, np.asarray(node, dtype=np.int32)
    elif isinstance(node, np.ndarray):
        yield prefix, node
    elif isinstance(node, tuple):
        for index, child in enumerate(node):
            yield from _flatten(child, f"{prefix}.{index}")
    else:
        for field in fields(node):
            yield from _flatten(getattr(node, field.name), f"{prefix}.{field.name}".lstrip("."))
