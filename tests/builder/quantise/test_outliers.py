"""Tools against outlier channels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intbert.builder.quantise import fixed_point as fp
from intbert.builder.quantise.outliers import (
    EXECUTED,
    GROUPS,
    TOOLS,
    Reading,
    choose,
    head_steps,
    on_powers_of_two,
    residual_choice,
)


def reading(**changes: object) -> Reading:
    """Normal values of 48 channels, two of them thirty times larger, read by 24 outputs."""
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(200, 48, generator=generator)
    rows[:, [5, 17]] *= 30
    weight = torch.randn(24, 48, generator=generator)
    fields: dict[str, object] = {"rows": rows, "absmax": rows.abs().amax(dim=0), "weight": weight, "finest": 1e-3}
    return Reading(**(fields | changes))  # type: ignore[arg-type]


def test_every_tool_beats_one_scale_where_channels_differ() -> None:
    """With outlier channels each tool has less error than one scale, and the best of the executed ones is taken."""
    choice = choose(reading())
    assert set(choice.errors) == set(TOOLS)
    assert all(choice.errors[tool] < choice.errors["one_scale"] for tool in TOOLS if tool != "one_scale")
    assert choice.tool == min(EXECUTED, key=lambda tool: choice.errors[tool])


def test_one_scale_is_enough_where_channels_are_alike() -> None:
    """Without outliers channel factors gain less than a quarter of the error."""
    rows = torch.randn(200, 48, generator=torch.Generator().manual_seed(3))
    choice = choose(reading(rows=rows, absmax=rows.abs().amax(dim=0)))
    assert choice.errors["channel_factors"] > 0.75 * choice.errors["one_scale"]


def test_groups_are_few_and_differ_by_powers_of_two() -> None:
    """What peg-ptq takes has at most six scales, exact powers of two apart as the integers store them."""
    choice = choose(reading(), ("folded_groups",))
    multipliers = np.unique(fp.view_multiplier(1e-3, choice.step.double().numpy()))
    assert 2 <= len(multipliers) <= GROUPS
    ratios = multipliers.max() / multipliers
    np.testing.assert_array_equal(ratios, 2.0 ** np.rint(np.log2(ratios)))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=20), st.floats(1e-6, 1e-4))
def test_powers_of_two_are_exact_in_fifteen_bits(steps: list[float], finest: float) -> None:
    """Whatever is wished, the multipliers fit 15 bits and differ from each other by powers of two exactly."""
    found = on_powers_of_two(torch.tensor(steps), finest).double().numpy()
    exact = finest * 2**15 / found
    multipliers = fp.view_multiplier(finest, found)
    np.testing.assert_allclose(multipliers, exact, rtol=1e-6)
    ratios = multipliers.astype(float) / multipliers.min()
    np.testing.assert_array_equal(ratios, 2.0 ** np.rint(np.log2(ratios)))


def test_steps_that_the_export_refuses_are_not_taken() -> None:
    """Where an accumulator would be too coarse for what follows, finer steps are taken at the price of clipping."""
    free = choose(reading(), ("one_scale",))
    unit = float((reading().weight * free.step).abs().max() / 127)
    bounded = choose(reading(unit_max=0.6 * unit), ("one_scale",))
    assert float(bounded.step.max()) < float(free.step.max())
    assert bounded.errors["one_scale"] > free.errors["one_scale"]


def test_unsigned_tensors_get_a_zero_point() -> None:
    """A GELU output keeps its small negative values: the zero point leaves room for all of them but rounding."""
    values = torch.nn.functional.gelu(torch.randn(200, 48, generator=torch.Generator().manual_seed(4)))
    choice = choose(reading(rows=values, absmax=values.abs().amax(dim=0), zero_point=24))
    assert choice.zero_point is not None
    assert float(values.min()) >= -float(choice.step.max()) * (choice.zero_point + 1)
    assert choice.errors[choice.tool] < 0.02


def test_heads_and_residual_are_measured() -> None:
    """A scale a head costs less than one for all when heads differ; 16 bits of a residual cost next to nothing."""
    rows = reading().rows
    steps, choice = head_steps("layers.0.query", rows, heads=4)
    assert steps.shape == (4,)
    assert choice.errors["heads"] < choice.errors["one_scale"]
    residual = residual_choice("layers.0.ffn_norm.residual", rows, float(rows.abs().max()) * 1.4 / 32767)
    assert residual.errors["sixteen_bits"] < residual.errors["eight_bits"] / 50
    assert residual.to_json()["tool"] == "sixteen_bits"


@pytest.mark.parametrize("tool", EXECUTED)
def test_silent_tensors_have_scales(tool: str) -> None:
    """A tensor of zeros, as of a dead layer, gives finite positive steps."""
    silent = torch.zeros(20, 48)
    choice = choose(reading(rows=silent, absmax=silent[0]), (tool,))  # type: ignore[arg-type]
    assert bool((choice.step > 0).all())
    assert bool(torch.isfinite(choice.step).all())
