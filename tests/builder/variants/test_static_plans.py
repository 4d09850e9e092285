"""The plans without training, and what ONNX Runtime makes of their graphs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from intbert.builder.fp32_graph import build_fp32_graph
from intbert.builder.variants.plan import Plan, quantised_graph
from intbert.builder.variants.static_plans import (
    GROUPS,
    Calibrated,
    best_weight_scale,
    error_of,
    mp_plan,
    part_of,
    peg_plan,
    ptq_plan,
    weight_scale,
)
from tests.builder.variants.conftest import LAYERS, OUTLIER_CHANNEL, integer_products, operators, relative_error

PLANS = {"ptq": ptq_plan, "mp-ptq": mp_plan, "peg-ptq-float": peg_plan}


def test_ptq_is_symmetric_everywhere(found: Calibrated) -> None:
    """One scale and the zero point in the middle at every site; every matrix and table has one scale."""
    plan = ptq_plan(found)
    assert set(plan.activations) == set(found.sites)
    assert {int(grid.zero_point) for grid in plan.activations.values()} == {128}
    assert set(plan.weights) == set(found.weights)
    assert {scale.shape for scale in plan.weights.values()} == {()}


def test_mp_has_16_bits_where_outliers_are(found: Calibrated) -> None:
    """x, h and y of every layer, and each tensor that 8 bits would not do; 8 bits for most others."""
    plan = mp_plan(found)
    wide = {site for site, grid in plan.activations.items() if grid.bits == 16}
    assert {site for site in found.sites if part_of(site) in ("attention_norm", "ffn_output", "ffn_sum")} <= wide
    assert all(error_of(found, site) <= 0.03 for site in set(found.sites) - wide)
    assert len(wide) < len(found.sites) / 2


def test_peg_has_six_groups(found: Calibrated) -> None:
    """At most six scales at x, h and y, equal parts of the channels; the outlier's is the widest of h and of y."""
    plan = peg_plan(found)
    for layer in range(LAYERS):
        grids = [plan.activations[f"{layer}.{part}"] for part in ("attention_norm", "ffn_output", "ffn_sum")]
        for grid in grids:
            assert grid.scale.shape == (48,)
            assert len(np.unique(grid.scale)) <= GROUPS
        widest = [set(np.flatnonzero(grid.scale == grid.scale.max()).tolist()) for grid in grids[1:]]
        assert {len(group) for group in widest} == {48 // GROUPS}
        assert all(OUTLIER_CHANNEL in group for group in widest)


@pytest.mark.parametrize("name", PLANS)
def test_graph_computes_its_plan_whatever_is_optimised(
    name: str, model: Any, found: Calibrated, compute: Callable[..., Any]
) -> None:
    """Fusing to integer products changes no more than a rare rounding of a tie."""
    graph = quantised_graph(model, PLANS[name](found))
    optimised, plain = compute(graph), compute(graph, optimised=False)
    assert relative_error(optimised, plain) < 0.05
    assert np.mean(optimised == plain) > 0.8


def test_remedies_help_against_an_outlier(model: Any, found: Calibrated, compute: Callable[..., Any]) -> None:
    """16 bits and groups come closer to FP32 than one symmetric scale a tensor, as the paper says."""
    expected = compute(build_fp32_graph(model).SerializeToString())
    errors = {
        name: relative_error(compute(quantised_graph(model, plan(found))), expected) for name, plan in PLANS.items()
    }
    assert errors["mp-ptq"] < errors["peg-ptq-float"] < errors["ptq"]
    assert errors["mp-ptq"] < errors["ptq"] / 2


@pytest.mark.parametrize("name", PLANS)
def test_products_are_in_integers_where_both_inputs_have_8_bits(
    name: str, model: Any, found: Calibrated, tmp_path: Path
) -> None:
    """As many as the plan says; the others run in FP32, their weights not rounded a second time by MatMulNBits."""
    plan = PLANS[name](found)
    counted = operators(quantised_graph(model, plan), tmp_path)
    inputs = products(found)
    integer = sum(all(on_one_scale(plan, site) for site in read) for read in inputs)
    assert integer_products(counted) == integer
    assert counted["MatMul"] + counted["Gemm"] == len(inputs) - integer
    assert counted["MatMulNBits"] == 0
    assert (integer == len(inputs)) is (name == "ptq")


def products(found: Calibrated) -> list[tuple[str, ...]]:
    """The sites that each matrix product reads (weights aside)."""
    read: list[tuple[str, ...]] = [("tanh",), ("first_token",)] if "tanh" in found.sites else [("1.ffn_norm",)]
    for layer, source in enumerate(["embedding_norm", "0.ffn_norm"]):
        read += [(source,)] * 3
        read += [(f"{layer}.{part}",) for part in ("context", "attention_norm", "gelu")]
        read += [(f"{layer}.query", f"{layer}.key"), (f"{layer}.probabilities", f"{layer}.value")]
    return read


def on_one_scale(plan: Plan, site: str) -> bool:
    """8 bits with one scale."""
    grid = plan.inputs.get(site) or plan.activations[site]
    return grid.bits == 8 and grid.scale.ndim == 0


def test_weights_are_stored_in_integers(model: Any, found: Calibrated) -> None:
    """Matrices and tables are int8 in the file, which is a good deal smaller than half precision."""
    graph = onnx.load_from_string(quantised_graph(model, ptq_plan(found)))
    stored = {item.name: item.data_type for item in graph.graph.initializer}
    assert all(stored[name] == onnx.TensorProto.INT8 for name in found.weights)


def test_an_empty_plan_is_the_original(model: Any) -> None:
    """No grid, no change: the FP32 file."""
    assert quantised_graph(model, Plan(activations={}, weights={})) == build_fp32_graph(model).SerializeToString()


def test_searched_weight_scales_are_no_worse() -> None:
    """Least squares over the weights of a matrix with one large value clips it; without one it keeps the range."""
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    values[3, 3] = 60.0

    def error(scale: Any) -> float:
        return float(np.square(values - np.clip(np.rint(values / scale), -127, 127) * scale).sum())

    assert error(best_weight_scale(values)) <= error(weight_scale(values))
    assert weight_scale(np.zeros((2, 2), dtype=np.float32)) == 1.0
