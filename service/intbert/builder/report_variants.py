"""The part of the report that lists every variant: how good, how large, and what it computes in integers."""

from dataclasses import dataclass

from intbert.model.manifest import Manifest

MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class VariantRow:
    """One variant beside the others."""

    name: str
    metrics: str  # main metric first
    size: str
    integer_parts: str
    float_parts: str


def variant_rows(manifest: Manifest) -> list[VariantRow]:
    """All variants, when there are more than int8 and FP32; else none."""
    if len(manifest.variants) <= 2:
        return []
    return [_row(manifest, name) for name in manifest.variants]


def _row(manifest: Manifest, name: str) -> VariantRow:
    variant, metrics = manifest.variants[name], manifest.card.metrics.get(name, {})
    main = manifest.gate.metric
    ordered = sorted(metrics, key=lambda metric: metric != main)
    size_bytes = variant.bytes if variant.stored_dtype == "int8" else variant.bytes_at_fp32
    return VariantRow(
        name=name,
        metrics=", ".join(f"{metric.replace('_', ' ')} {metrics[metric]:.2f}" for metric in ordered),
        size=f"{size_bytes / MEBIBYTE:.1f} MiB",
        integer_parts=variant.integer_parts,
        float_parts=variant.float_parts,
    )
