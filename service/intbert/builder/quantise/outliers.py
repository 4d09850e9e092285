"""Outlier channels: ways to give an 8-bit tensor its scales, measured at every tensor that a matrix reads.

A trained BERT has a few channels tens of times larger than the rest. One scale for all of them leaves the rest a few
levels. The tools differ in where the channels' different ranges go; each is searched on calibration tokens for the
least error of the reading matrix's outputs, weights rounded to s8 included. The best that the integer engine executes
is taken.

Shapes: n channels; steps (n,) are the real values of one unit.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

Tool = Literal["one_scale", "shifted_groups", "folded_groups", "powers_of_two", "channel_factors", "split_channels"]
TOOLS: tuple[Tool, ...] = get_args(Tool)
ON_POWERS_OF_TWO: tuple[Tool, ...] = ("shifted_groups", "folded_groups", "powers_of_two")
EXECUTED: tuple[Tool, ...] = ("one_scale", "folded_groups", "powers_of_two", "channel_factors")

GROUPS = 6  # K of per-embedding-group quantisation (Bondarenko et al. 2021)
SPLIT_CHANNELS = 4
MULTIPLIER_MAX = 2**15 - 1
ALPHAS = (0.4, 0.55, 0.7, 0.85, 1.0)
CLIPS = (1.0, 0.85, 0.7, 0.55, 0.4)
HEAD_CLIPS = tuple(1 - 0.04 * step for step in range(16))
GELU_ZERO_POINT = 24  # to begin with
ZERO_POINTS = (8, 16, 24, 32, 44, 60)
FACTORS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)
GROUP_MOVES = (2.0, 0.5)
DESCENTS_MAX = 3


@dataclass(frozen=True, kw_only=True)
class Reading:
    """An 8-bit tensor and the matrix that reads it."""

    rows: Tensor  # (tokens, n) real values
    absmax: Tensor  # (n,) over all tokens that were seen
    weight: Tensor  # (outputs, n)
    finest: float  # real value of a unit of the 16-bit tensor that is rounded to 8 bits: no step is finer
    zero_point: int | None = None  # of an unsigned tensor: 0, or where its search begins; None for a signed one
    unit_max: Tensor | float = torch.inf  # (outputs,) the reader's accumulator must have no coarser unit

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer, as seen from zero."""
        return (-127, 127) if self.zero_point is None else (-self.zero_point, 255 - self.zero_point)

    @property
    def levels(self) -> int:
        """Units that the largest value gets."""
        if self.zero_point is None:
            return 127
        return 230 if self.zero_point else 255

    def floors(self) -> tuple[float, ...]:
        """Finest steps worth trying: with an unsigned tensor also the one that clips no negative value."""
        if not self.zero_point:
            return (self.finest,)
        return self.finest, max(self.finest, -float(self.rows.min()) / self.zero_point)

    def expected(self) -> Tensor:
        """(tokens, outputs) without rounding."""
        return self.rows @ self.weight.T


@dataclass(frozen=True, kw_only=True)
class TensorChoice:
    """What was measured of one tensor, and what was taken. Errors are relative RMS.

    Of a LayerNorm's 8-bit view and the GELU output: of the reading matrix's outputs. Of all others: of themselves.
    """

    tensor: str  # as in the program: "layers.0.attention_norm.view"
    tool: str
    errors: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """As card and report hold it."""
        errors = {tool: float(f"{error:.4g}") for tool, error in self.errors.items()}
        return {"tensor": self.tensor, "tool": self.tool, "errors": errors}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was found for one tensor."""

    step: Tensor  # (n,) of the tool that was taken
    zero_point: int | None
    tool: Tool
    errors: Mapping[str, float]  # relative RMS error of the reader's outputs with the best steps of each tool


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The best steps of one tool so far."""

    refused: bool  # by the export
    error: float  # squared
    step: Tensor
    zero_point: int | None

    @property
    def rank(self) -> tuple[bool, float]:
        return self.refused, self.error


def choose(reading: Reading, tools: tuple[Tool, ...] = EXECUTED) -> Choice:
    """Measure every tool; take the best of `tools`, preferring steps that the export takes."""
    expected = reading.expected()
    found = {tool: _search(tool, reading, expected) for tool in TOOLS}
    taken = min(tools, key=lambda tool: found[tool].rank)
    norm = float(expected.square().sum()) or 1.0
    return Choice(
        step=found[taken].step,
        zero_point=found[taken].zero_point,
        tool=taken,
        errors={tool: (best.error / norm) ** 0.5 for tool, best in found.items()},
    )


def head_steps(name: str, rows: Tensor, heads: int) -> tuple[Tensor, TensorChoice]:
    """(a,) steps of s8 heads with the least squared error, beside one step for all. rows: (tokens, channels)."""
    values = rows.view(len(rows), heads, -1).transpose(0, 1).reshape(heads, -1)
    step, error = _clipped(values)
    _, error_of_one = _clipped(values.reshape(1, -1))
    norm = float(values.square().sum()) or 1.0
    errors = {"one_scale": (float(error_of_one.sum()) / norm) ** 0.5, "heads": (float(error.sum()) / norm) ** 0.5}
    return step, TensorChoice(tensor=name, tool="heads", errors=errors)


def _clipped(values: Tensor) -> tuple[Tensor, Tensor]:
    """(steps, squared errors) of each row's best clip."""
    largest = values.abs().amax(dim=1).clamp_min(1e-6) / 127
    best, best_error = largest, torch.full_like(largest, torch.inf)
    for clip in HEAD_CLIPS:
        step = (largest * clip)[:, None]
        error = ((values / step).round().clamp(-127, 127) * step - values).square().sum(dim=1)
        better = error < best_error
        best, best_error = torch.where(better, step[:, 0], best), torch.where(better, error, best_error)
    return best, best_error


def residual_choice(name: str, rows: Tensor, step: float) -> TensorChoice:
    """The 16-bit residual beside one of 8 bits, which no variant uses."""
    eight = max(float(rows.abs().max()) / 127, 1e-12)
    norm = float(rows.square().sum()) or 1.0
    errors = {
        bits: (float(((rows / unit).round() * unit - rows).square().sum()) / norm) ** 0.5
        for bits, unit in (("eight_bits", eight), ("sixteen_bits", step))
    }
    return TensorChoice(tensor=name, tool="sixteen_bits", errors=errors)


def squared_error(reading: Reading, step: Tensor, expected: Tensor, tool: Tool) -> float:
    """Sum over the reader's outputs, tensor and weights both rounded as `tool` does it."""
    low, high = (torch.full_like(step, limit) for limit in reading.limits)
    if tool == "split_channels":  # a channel emitted as a sum of several: their limits add up
        copies = (reading.absmax / (step * reading.levels)).ceil().clamp_min(1)
        low, high = low * copies, high * copies
    quantised = torch.clamp((reading.rows / step).round(), low, high)
    if tool == "shifted_groups":  # weights keep their own range; the accumulator is shifted between groups
        finest = step.min()
        weight = fake_weight(reading.weight * finest) * (step / finest)
    else:
        weight = fake_weight(reading.weight * step)
    return float((quantised @ weight.T - expected).square().sum())


def fits(reading: Reading, step: Tensor) -> bool:
    """Whether the reader's accumulators are fine enough for what follows them, weights folded with `step`."""
    unit = (reading.weight * step).abs().amax(dim=1) / 127
    return bool((unit <= reading.unit_max).all())


def fake_weight(weight: Tensor) -> Tensor:
    """Weights rounded to s8, per output channel."""
    step = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
    return (weight / step).round() * step


def _search(tool: Tool, reading: Reading, expected: Tensor) -> _Found:
    """The best candidate; one that the export takes wins over all that it refuses."""

    def best(steps: Iterable[Tensor], zero_point: int | None = reading.zero_point) -> _Found:
        at = replace(reading, zero_point=zero_point)
        found = (
            _Found(
                refused=tool in EXECUTED and not fits(at, step),
                error=squared_error(at, step, expected, tool),
                step=step,
                zero_point=zero_point,
            )
            for step in steps
        )
        return min(found, key=lambda one: one.rank)

    result = best(_candidates(tool, reading))
    for _ in range(DESCENTS_MAX if tool == "folded_groups" else 0):
        better = best(_neighbours(result.step, reading))
        if better.rank >= result.rank:
            break
        result = better
    if reading.zero_point:
        result = min((best([result.step], zero_point) for zero_point in ZERO_POINTS), key=lambda one: one.rank)
        steps = [_allowed(result.step * factor, tool, reading.finest, reading.finest) for factor in FACTORS]
        result = best(steps, result.zero_point)
    return result


def _candidates(tool: Tool, reading: Reading) -> Iterator[Tensor]:
    """Steps worth trying: the tool's shapes of the channels' ranges, each clipped more and more."""
    for shape in _shapes(tool, reading):
        for clip in CLIPS:
            for floor in reading.floors():
                yield _allowed(shape * clip / reading.levels, tool, floor, reading.finest)


def _allowed(step: Tensor, tool: Tool, floor: float, finest: float) -> Tensor:
    step = step.clamp_min(floor)
    return on_powers_of_two(step, finest) if tool in ON_POWERS_OF_TWO else step


def _shapes(tool: Tool, reading: Reading) -> list[Tensor]:
    """(n,) ranges of the channels, the same for all channels of a group."""
    activation = reading.absmax.clamp_min(max(float(reading.absmax.max()) * 1e-4, reading.finest))
    if tool == "one_scale":
        return [torch.full_like(activation, float(activation.max()))]
    if tool == "split_channels":
        rest = activation.sort(descending=True).values[min(SPLIT_CHANNELS, len(activation) - 1)]
        return [torch.full_like(activation, float(rest))]
    if tool == "shifted_groups":
        return [_group_maxima(activation, activation)]
    shapes = smoothed_shapes(activation, reading.weight)
    return [_group_maxima(shape, shape) for shape in shapes] if tool == "folded_groups" else shapes


def smoothed_shapes(activation: Tensor, weight: Tensor) -> list[Tensor]:
    """SmoothQuant's ranges, activation^alpha / weight^(1 - alpha), scaled to contain every activation."""
    columns = weight.abs().amax(dim=0).clamp_min(max(float(weight.abs().max()) * 1e-3, 1e-12))
    shapes = [activation**alpha / columns ** (1 - alpha) for alpha in ALPHAS]
    return [shape * (activation / shape).max() for shape in shapes]


def _group_maxima(values: Tensor, order_by: Tensor) -> Tensor:
    """(n,) the largest value of each channel's group; groups of equal size in the order of `order_by`."""
    result = torch.empty_like(values)
    for members in order_by.argsort(stable=True).tensor_split(GROUPS):
        if len(members):
            result[members] = values[members].max()
    return result


def _neighbours(step: Tensor, reading: Reading) -> Iterator[Tensor]:
    """Steps with one group's twice or half as large."""
    for value in step.unique():
        for move in GROUP_MOVES:
            yield on_powers_of_two(torch.where(step == value, step * move, step), reading.finest)


def on_powers_of_two(step: Tensor, finest: float) -> Tensor:
    """The nearest steps that differ by powers of two exactly when they are written as finest * 2^15 / integer."""
    coarsest = float(step.max())
    exponents = torch.log2(coarsest / step.double()).round()
    multiplier = min(max(1, round(finest * 2**15 / coarsest)), MULTIPLIER_MAX)
    room = (MULTIPLIER_MAX // multiplier).bit_length() - 1  # doublings that still fit 15 bits
    return (finest * 2**15 / (multiplier * torch.exp2(exponents.clamp(max=room)))).float()
