"""Per-layer quantisation error of an integer program against the float model it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from intbert.arithmetic.embedding import embed
from intbert.arithmetic.encoder import encoder_layer, head_logits
from intbert.arithmetic.fixed import S16_MAX, Int, int64
from intbert.arithmetic.layernorm import layer_norm, view_s8
from intbert.builder.quantise.export import Exported

Floats = NDArray[np.float64]
Tokens = tuple[Sequence[int], Sequence[int]]  # token ids, type ids of one text


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """Error of one hidden state: RMS of the difference over RMS of the float values, all tokens and channels."""

    name: str  # "embeddings", "layer 0", ..., "logits"
    residual: float  # of the 16-bit residual (the logits for "logits")
    view: float | None  # of its 8-bit view
    saturated: float  # share of values at the 16-bit limits


def layer_errors(exported: Exported, teacher: nn.Module, texts: Sequence[Tokens]) -> list[LayerError]:
    """Errors of embeddings, every layer and the logits, in order, on encoded texts."""
    expected, logits = _float_states(teacher, texts)
    program, scales = exported.program, exported.scales
    lengths = [len(ids) for ids, _ in texts]
    cumulative = np.cumsum([0, *lengths]).astype(np.int32)
    positions = np.concatenate([np.arange(length) for length in lengths]) + program.position_offset
    token_ids, type_ids = (int64(np.concatenate([text[part] for text in texts])) for part in (0, 1))
    residual = layer_norm(embed(token_ids, type_ids, positions, program.embedding), program.embedding_norm)
    view = view_s8(residual, program.embedding_norm)
    norm = scales.embedding_norm
    errors = [_error("embeddings", residual, norm.residual, view, norm.view, expected[0])]
    for index, (layer, layer_scales) in enumerate(zip(program.layers, scales.layers, strict=True)):
        residual, view = encoder_layer(layer, program.heads, residual, view, cumulative)
        norm = layer_scales.ffn_norm
        errors.append(_error(f"layer {index}", residual, norm.residual, view, norm.view, expected[index + 1]))
    actual = head_logits(program.head, view, cumulative).astype(np.float64) * exported.logit_scale
    errors.append(LayerError(name="logits", residual=_relative(actual, logits), view=None, saturated=0.0))
    return errors


def _error(name: str, residual: Int, scale: float, view: Int, view_scale: Floats, expected: Floats) -> LayerError:
    return LayerError(
        name=name,
        residual=_relative(residual.astype(np.float64) * scale, expected),
        view=_relative(view * view_scale, expected),
        saturated=float((np.abs(residual) >= S16_MAX).mean()),
    )


def _relative(actual: Floats, expected: Floats) -> float:
    return float(np.sqrt(np.square(actual - expected).sum() / np.square(expected).sum()))


def _float_states(teacher: nn.Module, texts: Sequence[Tokens]) -> tuple[list[Floats], Floats]:
    """Hidden states (tokens, n) of each layer and logits (sequences, labels) or (tokens, 2), text by text, unpadded."""
    states: list[list[Floats]] = []
    logits: list[Floats] = []
    teacher.eval()
    device = next(teacher.parameters()).device
    with torch.no_grad():
        for ids, types in texts:
            fields = {"input_ids": torch.tensor([list(ids)]), "token_type_ids": torch.tensor([list(types)])}
            outputs = teacher(**{name: value.to(device) for name, value in fields.items()}, output_hidden_states=True)
            states.append([state[0].double().cpu().numpy() for state in outputs.hidden_states])
            span = hasattr(outputs, "start_logits")
            row = torch.stack([outputs.start_logits[0], outputs.end_logits[0]], dim=1) if span else outputs.logits
            logits.append(row.double().cpu().numpy())
    return [np.concatenate(layer) for layer in zip(*states, strict=True)], np.concatenate(logits)
