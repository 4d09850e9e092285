"""Plans with static ranges and without training: from what calibration saw to grids. The builders are in `static.py`.

Choices that are not the papers' were made by the error of logits on training texts of four tasks, never on dev data;
docs/building.md has the figures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from intbert.builder.variants.plan import WEIGHT_MAX, Bits, Grid, Plan, weight_integers
from intbert.builder.variants.ranges import Observed, Range, least_squares, minmax, squared_error

OUTLIER_SITES = ("attention_norm", "ffn_output", "ffn_sum")  # the paper's x, h and y
GROUPS = 6
TOLERATED_ERROR = 0.03  # relative, of the best 8-bit grid; tensors beyond it get 16 bits in mp-ptq
HEADS = {"bert.pooler.dense": "first_token", "classifier": "tanh"}  # matrix -> site that it reads
WEIGHT_SHARES = np.linspace(1.0, 0.2, 41)  # of the largest weight: ends of the range that a search tries
Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What every plan is made from."""

    seen: Mapping[str, Observed]
    sites: list[str]
    weights: Arrays  # matrices (outputs, inputs) and embedding tables (rows, channels)

    def grids(self, estimate: Callable[[str], Range], bits: Bits = 8) -> dict[str, Grid]:
        """A grid for every site."""
        return {site: Grid.over(estimate(site), bits) for site in self.sites}


def ptq_plan(found: Calibrated) -> Plan:
    """8 bits, symmetric, minimum to maximum, everywhere."""
    grids = found.grids(lambda site: minmax(found.seen[site], 8).symmetric)
    scales = {name: weight_scale(values) for name, values in found.weights.items()}
    return planned(found, grids, scales)


def mp_plan(found: Calibrated) -> Plan:
    """16 bits at x, h and y, and wherever 8 bits leave more than TOLERATED_ERROR."""
    grids = found.grids(partial(asymmetric, found))
    wide = {site for site in found.sites if part_of(site) in OUTLIER_SITES or error_of(found, site) > TOLERATED_ERROR}
    grids |= {site: Grid.over(found.seen[site].range, 16) for site in found.sites if site in wide}
    scales = {
        name: weight_scale(values) if "embeddings" in name else channel_scales(values)
        for name, values in found.weights.items()
    }
    return planned(found, grids, scales)


def peg_plan(found: Calibrated) -> Plan:
    """Six groups of channels at x, h and y; 8 bits and one range elsewhere."""
    grids = found.grids(partial(asymmetric, found))
    outliers = [site for site in found.sites if part_of(site) in OUTLIER_SITES]
    grids |= {site: Grid.over(group_ranges(found.seen[site])) for site in outliers}
    scales = {name: best_weight_scale(values) for name, values in found.weights.items()}
    return planned(found, grids, scales)


def asymmetric(found: Calibrated, site: str) -> Range:
    """The range of a site in 8 bits. What LayerNorm gives is taken whole: its rare large values matter."""
    estimate = minmax if part_of(site).endswith("norm") else least_squares
    return estimate(found.seen[site], 8)


def error_of(found: Calibrated, site: str) -> float:
    """Relative error that the best asymmetric grid of 8 bits leaves at a site."""
    seen = found.seen[site]
    power = float((seen.counts * seen.centres**2).sum()) / max(1.0, float(seen.counts.sum()))
    return float(np.sqrt(squared_error(seen, least_squares(seen, 8), 8) / power)) if power > 0 else 0.0


def group_ranges(seen: Observed) -> list[Range]:
    """(channels,) the range of each channel's group: channels in the order of their range, cut into equal parts."""
    low, high = channel_extremes(seen)
    for group in np.array_split(np.argsort(high - low, kind="stable"), GROUPS):
        low[group], high[group] = low[group].min(), high[group].max()
    return [Range(low=float(a), high=float(b)) for a, b in zip(low, high, strict=True)]


def channel_extremes(seen: Observed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Copies of the smallest and largest value of each channel, 0 included."""
    if seen.channel_low is None or seen.channel_high is None:
        raise ValueError("this tensor was observed without its channels")
    return np.minimum(seen.channel_low, 0.0), np.maximum(seen.channel_high, 0.0)


def weight_scale(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """() so that the largest weight is the largest integer."""
    return np.asarray(np.abs(values).max() / WEIGHT_MAX or 1.0, dtype=np.float32)


def channel_scales(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(outputs,) the same for each row of a matrix (outputs, inputs)."""
    largest = np.abs(values).max(axis=1)
    return np.where(largest > 0, largest / WEIGHT_MAX, 1.0).astype(np.float32)


def best_weight_scale(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """() of least squared error."""
    whole = weight_scale(values)

    def error(share: float) -> float:
        scale = np.asarray(whole * share, dtype=np.float32)
        return float(np.square(values - weight_integers(values, scale) * scale).sum(dtype=np.float64))

    return np.asarray(whole * min(WEIGHT_SHARES, key=error), dtype=np.float32)


def planned(found: Calibrated, grids: Mapping[str, Grid], scales: Arrays) -> Plan:
    """The plan of these grids and weights, so written that ONNX Runtime computes pooler and classifier in integers.

    Both read the first token alone. Its products need a bias in integers, and the pooler's input a grid of its own,
    which is that of the last layer.
    """
    last = max((site for site in found.sites if part_of(site) == "ffn_norm"), key=lambda site: int(site.split(".")[0]))
    inputs = {"first_token": grids[last]} if "pooler" in found.sites else {}
    biases = {
        f"{name}.bias": np.asarray({**grids, **inputs}[site].scale * scales[f"{name}.weight"], dtype=np.float32)
        for name, site in HEADS.items()
        if f"{name}.weight" in scales
    }
    return Plan(activations=grids, weights=scales, inputs=inputs, biases=biases)


def part_of(site: str) -> str:
    """The name of a site without its layer."""
    return site.rpartition(".")[2]
