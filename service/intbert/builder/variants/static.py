"""Variants with static ranges and without training, for ONNX Runtime: `ptq`, `mp-ptq` and `peg-ptq-float`.

`ptq` is what is done without thought: 8 bits, symmetric, one scale a tensor, from the smallest to the largest value.
The others are after Bondarenko et al. 2021, who found that the FFN's input x, its output h and the residual sum y hold
outliers in few channels: `mp-ptq` keeps those in 16 bits, `peg-ptq-float` gives each of six groups of their channels a
range of its own.
"""

import numpy as np
from pydantic import JsonValue

from intbert.builder.fp32_graph import sites
from intbert.builder.variants.calibration import calibration_texts, observe
from intbert.builder.variants.contract import BuiltVariant, VariantInputs
from intbert.builder.variants.plan import Grid, Plan, quantised_graph
from intbert.builder.variants.ranges import Observed
from intbert.builder.variants.static_plans import Calibrated, mp_plan, peg_plan, ptq_plan


def build_ptq(inputs: VariantInputs) -> BuiltVariant:
    """Static W8A8, symmetric, a scale a tensor, ranges from minimum to maximum."""
    found = calibrated(inputs)
    plan = ptq_plan(found)
    return BuiltVariant(
        file="ptq.onnx",
        content=quantised_graph(inputs.teacher, plan),
        engine="onnx",
        stored_dtype="int8",
        integer_parts=(
            "All matrix products (8-bit inputs, 32-bit sums) and residual sums; weights and embedding tables are int8 "
            "in the file."
        ),
        float_parts=("Scales, bias, softmax, GELU, LayerNorm and tanh, between static 8-bit grids at every tensor."),
        measured={"calibration": ranges_of(found, plan)},
    )


def build_mp_ptq(inputs: VariantInputs) -> BuiltVariant:
    """16 bits where outliers are, 8 bits asymmetric elsewhere, weights by output channel."""
    found = calibrated(inputs)
    plan = mp_plan(found)
    wide = [site for site, grid in plan.activations.items() if grid.bits == 16]
    return BuiltVariant(
        file="mp-ptq.onnx",
        content=quantised_graph(inputs.teacher, plan),
        engine="onnx",
        stored_dtype="int8",
        integer_parts=(
            "Matrix products whose inputs have 8 bits: queries, keys, values, attention and its output, and the FFN's "
            "second product where the GELU's output has 8 bits; weights are stored in int8."
        ),
        float_parts=(
            f"Everything else; tensors of 16 bits ({len(wide)} of {len(plan.activations)}) are simulated, so the FFN's "
            "first product runs in FP32 on quantised values."
        ),
        measured={"sixteen_bits": list(wide), "calibration": ranges_of(found, plan)},
    )


def build_peg_float(inputs: VariantInputs) -> BuiltVariant:
    """A range for each of six groups of channels at x, h and y; 8 bits everywhere, weights by tensor."""
    found = calibrated(inputs)
    plan = peg_plan(found)
    return BuiltVariant(
        file="peg-ptq-float.onnx",
        content=quantised_graph(inputs.teacher, plan),
        engine="onnx",
        stored_dtype="int8",
        integer_parts=(
            "Matrix products whose inputs have one scale: queries, keys, values, attention and its output, and the "
            "FFN's second product; weights are stored in int8."
        ),
        float_parts=(
            "Everything else; grids with six scales (the FFN's input, output and residual sum) are simulated in FP32, "
            "so the FFN's first product runs in FP32 on quantised values."
        ),
        measured={"calibration": ranges_of(found, plan)},
    )


def calibrated(inputs: VariantInputs) -> Calibrated:
    """Observe the teacher on training texts."""
    model = inputs.teacher
    state = {name: value.detach().float().cpu().numpy() for name, value in model.state_dict().items()}
    return Calibrated(
        seen=observe(model, calibration_texts(inputs.recipe, inputs.data.train)),
        sites=sites(model.config.num_hidden_layers, spans=inputs.recipe.model.problem_type == "span_qa"),
        weights={name: value for name, value in state.items() if name.endswith(".weight") and value.ndim == 2},
    )


def ranges_of(found: Calibrated, plan: Plan) -> JsonValue:
    """Site -> what was seen and which grid was chosen."""
    return {site: _range_of(found.seen[site], grid) for site, grid in plan.activations.items()}


def _range_of(seen: Observed, grid: Grid) -> JsonValue:
    steps: list[JsonValue] = [float(step) for step in np.unique(grid.scale)]
    ends: list[JsonValue] = [round(seen.range.low, 4), round(seen.range.high, 4)]
    return {"seen": ends, "steps": steps, "bits": grid.bits}
