"""`intbert inspect`: what a package says about itself and what its integers show; nothing is measured again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.margins import Margin, margins
from intbert.arithmetic.program import Program
from intbert.errors import NotFoundError
from intbert.model.manifest import Manifest, Variant
from intbert.model.package import Package
from intbert.model.scales import LayerScales, NormScales, Scales

OUTLIER = 4.0  # times the median scale: such channels are counted as outliers
REBUILD = "this package was built before it was measured; build it again with: intbert build RECIPE.toml"


@dataclass(frozen=True, kw_only=True)
class TensorScale:
    """One rounded tensor. Real values; a channel's range is its scale times the integers' limit."""

    tensor: str
    bits: int
    low: float  # of the channel with the widest range
    high: float
    coarsest: float  # scale: the real value of one unit
    finest: float
    outliers: int  # channels whose scale is more than 4 times the median
    powers_of_two: bool  # all scales differ by powers of two, and not all are the same

    @property
    def spread(self) -> float:
        """Coarsest over finest scale: how much more range outlier channels have than the least."""
        return self.coarsest / self.finest


def inspection(package: Package, variant: str | None = None) -> dict[str, Any]:
    """One document about a package and one of its variants, by default the package's own default.

    `missing` names what the package does not hold and what to do about it. Raises NotFoundError for an unknown variant.
    """
    manifest = package.manifest
    chosen = variant or manifest.default_variant
    if chosen not in manifest.variants:
        raise NotFoundError.of("variant", chosen, sorted(manifest.variants), where=manifest.name)
    integer = manifest.variants[chosen].engine == "integer"
    program = package.program(chosen) if integer else None
    scales = None if program is None else _scales(manifest, chosen, program)
    measured = measured_of(manifest, chosen)
    return {
        "name": manifest.name,
        "version": manifest.version,
        "sha256": package.sha256,
        "task": manifest.task,
        "arithmetic_version": manifest.arithmetic_version,
        "architecture": manifest.architecture.model_dump(),
        "max_tokens": manifest.max_tokens,
        "variant": chosen,
        "variants": {name: _variant(manifest, entry) for name, entry in manifest.variants.items()},
        "metrics": manifest.card.metrics,
        "tensors": None if scales is None else [_tensor(row) for row in tensor_scales(scales)],
        "bounds": None if program is None else [_bound(margin) for margin in margins(program)],
        **measured,
        "missing": list(_missing(integer=integer, scales=scales, measured=measured)),
    }


def measured_of(manifest: Manifest, variant: str) -> dict[str, Any]:
    """What the build measured of an integer variant: errors of layers, cost of tensors, tools against outliers."""
    measured: Mapping[str, Any] = manifest.card.measured
    further: Any = measured.get("variants") or {}
    own = measured if variant in manifest.integer_variants[:1] else further.get(variant, {})
    return {name: own.get(name) or None for name in ("layer_error", "tensor_cost", "outliers")}


def tensor_scales(scales: Scales) -> Iterator[TensorScale]:
    """Every tensor that is rounded to 8 or 16 bits between layers, in the program's order."""
    yield from _norm("embedding_norm", scales.embedding_norm)
    for index, layer in enumerate(scales.layers):
        yield from _layer(f"layers.{index}", layer)


def _layer(name: str, scales: LayerScales) -> Iterator[TensorScale]:
    for part in ("query", "key", "value", "context"):
        yield _scale(f"{name}.{part}", getattr(scales, part))
    yield from _norm(f"{name}.attention_norm", scales.attention_norm)
    yield _scale(f"{name}.gelu", scales.gelu_output, low=-scales.gelu_zero_point, high=255 - scales.gelu_zero_point)
    yield from _norm(f"{name}.ffn_norm", scales.ffn_norm)


def _norm(name: str, scales: NormScales) -> Iterator[TensorScale]:
    yield _scale(f"{name}.view", scales.view)
    yield _scale(f"{name}.residual", np.full(1, scales.residual), bits=16, low=-(2**15), high=2**15 - 1)


def _scale(name: str, scale: NDArray[np.float64], *, bits: int = 8, low: int = -127, high: int = 127) -> TensorScale:
    coarsest, finest = float(scale.max()), float(scale.min())
    exponents = np.log2(scale / finest)
    return TensorScale(
        tensor=name,
        bits=bits,
        low=low * coarsest,
        high=high * coarsest,
        coarsest=coarsest,
        finest=finest,
        outliers=int((scale > OUTLIER * np.median(scale)).sum()),
        powers_of_two=bool(coarsest > finest and np.abs(exponents - np.rint(exponents)).max() < 1e-6),
    )


def _scales(manifest: Manifest, variant: str, program: Program) -> Scales | None:
    kept = manifest.scales_of(variant)
    return Scales.from_json(kept, program) if isinstance(kept, dict) else None


def _variant(manifest: Manifest, entry: Variant) -> dict[str, Any]:
    return {
        "engine": entry.engine,
        "file": entry.file,
        "sha256": manifest.files[entry.file].sha256,
        "bytes": entry.bytes,
        "parameters": entry.parameters,
        "stored_dtype": entry.stored_dtype,
        "integer_parts": entry.integer_parts or None,
        "float_parts": entry.float_parts or None,
    }


def _tensor(row: TensorScale) -> dict[str, Any]:
    numbers = {name: float(f"{getattr(row, name):.6g}") for name in ("low", "high", "coarsest", "finest", "spread")}
    return {
        "tensor": row.tensor,
        "bits": row.bits,
        **numbers,
        "outliers": row.outliers,
        "powers_of_two": row.powers_of_two,
    }


def _bound(margin: Margin) -> dict[str, Any]:
    return {
        "tensor": margin.tensor,
        "equation": margin.equation,
        "largest": margin.largest,
        "limit": margin.limit,
        "spare_bits": round(margin.spare_bits, 2),
    }


def _missing(*, integer: bool, scales: Scales | None, measured: Mapping[str, Any]) -> Iterator[str]:
    if not integer:
        yield "tensors, bounds: only integer variants have them; this one is an ONNX graph"
        return
    if scales is None:
        yield f"tensors: the manifest keeps no real scales; {REBUILD}"
    for name, found in measured.items():
        if found is None:
            yield f"{name}: {REBUILD}"
