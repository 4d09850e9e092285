"""How far the integer encoder's hidden states are from those of float models, after each layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from intbert.arithmetic.embedding import embed
from intbert.arithmetic.encoder import encoder_layer
from intbert.arithmetic.fixed import int64
from intbert.arithmetic.layernorm import layer_norm, view_s8
from intbert.arithmetic.program import Program
from intbert.builder.quantise.scales import Scales
from intbert.runtime.batch import RaggedBatch

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LayerErrors:
    """Relative root mean square error after the embeddings and after each layer."""

    tokens: int
    texts: int
    own_weights: tuple[float, ...]  # against the same weights without quantisation
    original: tuple[float, ...]  # against the FP32 original

    def to_json(self) -> dict[str, Any]:
        """For the card."""
        points = ["embeddings", *(f"layer {index}" for index in range(1, len(self.original)))]
        return {
            "points": points,
            "tokens": self.tokens,
            "texts": self.texts,
            "own_weights": [round(value, 6) for value in self.own_weights],
            "original": [round(value, 6) for value in self.original],
        }


def layer_errors(
    program: Program, scales: Scales, batch: RaggedBatch, *, own_weights: nn.Module, original: nn.Module
) -> LayerErrors:
    """Compare the integer program with two Hugging Face models on the same tokens."""
    ours = integer_hidden_states(program, scales, batch)
    return LayerErrors(
        tokens=batch.tokens,
        texts=batch.sequences,
        own_weights=_errors(ours, float_hidden_states(own_weights, batch)),
        original=_errors(ours, float_hidden_states(original, batch)),
    )


def integer_hidden_states(program: Program, scales: Scales, batch: RaggedBatch) -> list[Floats]:
    """The 16-bit residual after embeddings and each layer in real units, (tokens, channels) each."""
    positions = np.concatenate([np.arange(length) for length in batch.lengths]) + program.position_offset
    h = embed(int64(batch.token_ids), int64(batch.type_ids), positions, program.embedding)
    residual = layer_norm(h, program.embedding_norm)
    view = view_s8(residual, program.embedding_norm)
    states = [residual * scales.embedding_norm.residual]
    for layer, layer_scales in zip(program.layers, scales.layers, strict=True):
        residual, view = encoder_layer(layer, program.heads, residual, view, batch.cumulative_lengths)
        states.append(residual * layer_scales.ffn_norm.residual)
    return states


def float_hidden_states(model: nn.Module, batch: RaggedBatch) -> list[Floats]:
    """The same of a Hugging Face model, computed in FP32, one sequence at a time."""
    training = model.training
    model.eval()
    parts: list[Sequence[Any]] = []
    with torch.no_grad():
        for tokens in batch.slices():
            ids = torch.from_numpy(batch.token_ids[tokens].astype(np.int64))[None]
            types = torch.from_numpy(batch.type_ids[tokens].astype(np.int64))[None]
            output = model(input_ids=ids, token_type_ids=types, output_hidden_states=True)
            parts.append([state[0].double().numpy() for state in output.hidden_states])
    model.train(training)
    return [np.concatenate(states) for states in zip(*parts, strict=True)]


def _errors(ours: Sequence[Floats], theirs: Sequence[Floats]) -> tuple[float, ...]:
    return tuple(
        float(np.sqrt(np.square(a - b).mean() / np.square(b).mean())) for a, b in zip(ours, theirs, strict=True)
    )
