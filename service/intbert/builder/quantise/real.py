"""Real-valued parameters of a BERT with one output layer: what the exporter reads, whatever they came from.

Shapes: n channels, i intermediate channels. Weights are (outputs, inputs), float64.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
StateDict = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class RealLinear:
    """y = x @ weight.T + bias."""

    weight: Matrix
    bias: Vector


@dataclass(frozen=True, kw_only=True)
class RealNorm:
    """LayerNorm's affine part."""

    gamma: Vector
    beta: Vector


@dataclass(frozen=True, kw_only=True)
class RealLayer:
    """One encoder layer; the rows of `qkv` are n of Q, n of K, n of V."""

    qkv: RealLinear
    attention_output: RealLinear
    attention_norm: RealNorm
    ffn_input: RealLinear
    ffn_output: RealLinear
    ffn_norm: RealNorm


@dataclass(frozen=True, kw_only=True)
class RealModel:
    """The whole model; without a pooler every token has its own outputs (span QA)."""

    heads: int
    position_offset: int
    word: Matrix
    position: Matrix
    token_type: Matrix
    embedding_norm: RealNorm
    layers: tuple[RealLayer, ...]
    pooler: RealLinear | None
    output: RealLinear

    @property
    def channels(self) -> int:
        """Width of the residual."""
        return int(self.word.shape[1])


def real_model(state: StateDict, heads: int, position_offset: int = 0) -> RealModel:
    """Read a state dict with the names of BertForSequenceClassification or BertForQuestionAnswering.

    Raises ValueError when the names are those of another architecture.
    """
    output = next((name for name in ("classifier", "qa_outputs") if f"{name}.weight" in state), None)
    if output is None or "bert.embeddings.word_embeddings.weight" not in state:
        raise ValueError("not the state dict of a BERT with a classification or span QA head; check the model type")
    layers = 1 + max(int(name.split(".")[3]) for name in state if name.startswith("bert.encoder.layer."))
    pooled = output == "classifier"
    return RealModel(
        heads=heads,
        position_offset=position_offset,
        word=_array(state, "bert.embeddings.word_embeddings.weight"),
        position=_array(state, "bert.embeddings.position_embeddings.weight"),
        token_type=_array(state, "bert.embeddings.token_type_embeddings.weight"),
        embedding_norm=_norm(state, "bert.embeddings.LayerNorm"),
        layers=tuple(_layer(state, f"bert.encoder.layer.{index}") for index in range(layers)),
        pooler=_linear(state, "bert.pooler.dense") if pooled else None,
        output=_linear(state, output),
    )


def state_dict(model: RealModel) -> dict[str, Matrix]:
    """The inverse of `real_model`: Hugging Face names to arrays."""
    state = {
        "bert.embeddings.word_embeddings.weight": model.word,
        "bert.embeddings.position_embeddings.weight": model.position,
        "bert.embeddings.token_type_embeddings.weight": model.token_type,
        **_norm_state("bert.embeddings.LayerNorm", model.embedding_norm),
    }
    for index, layer in enumerate(model.layers):
        prefix = f"bert.encoder.layer.{index}"
        for part, weight, bias in zip(
            ("query", "key", "value"), np.split(layer.qkv.weight, 3), np.split(layer.qkv.bias, 3), strict=True
        ):
            state |= _linear_state(f"{prefix}.attention.self.{part}", RealLinear(weight=weight, bias=bias))
        state |= _linear_state(f"{prefix}.attention.output.dense", layer.attention_output)
        state |= _norm_state(f"{prefix}.attention.output.LayerNorm", layer.attention_norm)
        state |= _linear_state(f"{prefix}.intermediate.dense", layer.ffn_input)
        state |= _linear_state(f"{prefix}.output.dense", layer.ffn_output)
        state |= _norm_state(f"{prefix}.output.LayerNorm", layer.ffn_norm)
    if model.pooler is not None:
        state |= _linear_state("bert.pooler.dense", model.pooler)
    return state | _linear_state("qa_outputs" if model.pooler is None else "classifier", model.output)


def _layer(state: StateDict, prefix: str) -> RealLayer:
    parts = [_linear(state, f"{prefix}.attention.self.{part}") for part in ("query", "key", "value")]
    return RealLayer(
        qkv=RealLinear(
            weight=np.concatenate([part.weight for part in parts]), bias=np.concatenate([part.bias for part in parts])
        ),
        attention_output=_linear(state, f"{prefix}.attention.output.dense"),
        attention_norm=_norm(state, f"{prefix}.attention.output.LayerNorm"),
        ffn_input=_linear(state, f"{prefix}.intermediate.dense"),
        ffn_output=_linear(state, f"{prefix}.output.dense"),
        ffn_norm=_norm(state, f"{prefix}.output.LayerNorm"),
    )


def _linear(state: StateDict, prefix: str) -> RealLinear:
    return RealLinear(weight=_array(state, f"{prefix}.weight"), bias=_array(state, f"{prefix}.bias"))


def _norm(state: StateDict, prefix: str) -> RealNorm:
    return RealNorm(gamma=_array(state, f"{prefix}.weight"), beta=_array(state, f"{prefix}.bias"))


def _linear_state(prefix: str, linear: RealLinear) -> dict[str, Matrix]:
    return {f"{prefix}.weight": linear.weight, f"{prefix}.bias": linear.bias}


def _norm_state(prefix: str, norm: RealNorm) -> dict[str, Matrix]:
    return {f"{prefix}.weight": norm.gamma, f"{prefix}.bias": norm.beta}


def _array(state: StateDict, name: str) -> Matrix:
    if name not in state:
        raise ValueError(f"the checkpoint has no tensor {name}; only BERT with absolute positions is supported here")
    tensor = state[name]
    values = tensor.detach().cpu().float().numpy() if hasattr(tensor, "detach") else tensor
    return np.asarray(values, dtype=np.float64)
