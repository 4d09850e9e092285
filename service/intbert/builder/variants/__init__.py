"""Variants that a recipe may ask for beside FP32 and the integer-only default, each made by one builder."""

from collections.abc import Callable, Mapping

from intbert.builder.failure import BuildError
from intbert.builder.variants.contract import BuiltVariant, VariantInputs
from intbert.builder.variants.peg import build_peg
from intbert.builder.variants.q8bert import build_q8bert

Builder = Callable[[VariantInputs], BuiltVariant]
BUILDERS: Mapping[str, Builder] = {  # name in the recipe -> builder
    "peg-ptq": build_peg,
    "q8bert": build_q8bert,
}


def build_variant(name: str, inputs: VariantInputs) -> BuiltVariant:
    """Make one variant. BuildError for a name that has no builder."""
    if name not in BUILDERS:
        raise BuildError(f"no builder makes the variant {name!r}; there are: {', '.join(sorted(BUILDERS))}")
    return BUILDERS[name](inputs)
