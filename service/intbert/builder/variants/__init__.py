"""Variants that a recipe may ask for beside FP32 and the integer-only default, each made by one builder."""

from collections.abc import Callable, Mapping

from intbert.builder.failure import BuildError
from intbert.builder.variants.contract import BuiltVariant, VariantInputs
from intbert.builder.variants.dynamic import build_dq
from intbert.builder.variants.peg import build_peg
from intbert.builder.variants.q8bert import build_q8bert
from intbert.builder.variants.static import build_mp_ptq, build_peg_float, build_ptq

Builder = Callable[[VariantInputs], BuiltVariant]
BUILDERS: Mapping[str, Builder] = {  # name in the recipe -> builder
    "dq": build_dq,
    "ptq": build_ptq,
    "q8bert": build_q8bert,
    "mp-ptq": build_mp_ptq,
    "peg-ptq": build_peg,
    "peg-ptq-float": build_peg_float,
}


def build_variant(name: str, inputs: VariantInputs) -> BuiltVariant:
    """Make one variant. BuildError for a name that has no builder."""
    if name not in BUILDERS:
        raise BuildError(f"no builder makes the variant {name!r}; there are: {', '.join(sorted(BUILDERS))}")
    return BUILDERS[name](inputs)
