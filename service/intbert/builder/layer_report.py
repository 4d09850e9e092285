"""Error of each layer of an integer program, in the shape that card and report show."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from transformers import PreTrainedModel

from intbert.builder.quantise import Exported, dequantise, layer_errors
from intbert.builder.quantise.real import state_dict
from intbert.builder.quantise.sensitivity import Tokens


def layer_report(exported: Exported, teacher: PreTrainedModel, texts: Sequence[Tokens]) -> dict[str, Any]:
    """Relative RMS errors against the FP32 original, and against the program's own weights in floating point.

    texts: token ids and type ids of each. The second comparison leaves out what training has moved: it shows the
    rounding of activations and the integer functions alone.
    """
    own = deepcopy(teacher)
    weights = {
        name: torch.from_numpy(array).float()
        for name, array in state_dict(dequantise(exported.program, exported.scales)).items()
    }
    own.load_state_dict(weights, strict=False)
    against_own = layer_errors(exported, own, texts)
    against_original = layer_errors(exported, teacher, texts)
    return {
        "points": [error.name for error in against_original],
        "tokens": sum(len(ids) for ids, _ in texts),
        "texts": len(texts),
        "own_weights": [round(error.residual, 6) for error in against_own],
        "original": [round(error.residual, 6) for error in against_original],
        "saturated": [round(error.saturated, 8) for error in against_original],
    }
