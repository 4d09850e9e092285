"""The variant `peg-ptq`: per-embedding-group quantisation (Bondarenko et al. 2021) in integers only, without training.

As in the paper, channels are ordered by range and cut into six groups of one scale each; the range is weighed against
the weights that read it where that is better. Groups differ by powers of two, and their factors are folded into those
weights before they are rounded, so that the integer engine runs the variant as it is, with no shift between groups
(docs/decisions/0005-groups-in-the-weights.md).
"""

from safetensors.numpy import save

from intbert.builder.quantise import QuantisedModel, calibrate, export_program
from intbert.builder.student import calibration_batches
from intbert.builder.variants.contract import BuiltVariant, VariantInputs

FILE = "peg-ptq.safetensors"


def build_peg(inputs: VariantInputs) -> BuiltVariant:
    """Calibrate on training texts with groups as the only tool against outlier channels, and export."""
    model = QuantisedModel.from_teacher(inputs.teacher)
    batches = calibration_batches(inputs.recipe, inputs.data.train, inputs.tokenizer)
    calibration = calibrate(model, batches, tools=("folded_groups",))
    exported = export_program(model)
    return BuiltVariant(
        file=FILE,
        content=save(exported.program.tensors()),
        engine="integer",
        stored_dtype="int8",
        logit_scale=exported.logit_scale,
        scales=exported.scales.to_json(),
        integer_parts=(
            "Everything between token ids and int32 logits: calibrated without training, LayerNorm and GELU outputs in "
            "six groups of channels whose scales differ by powers of two."
        ),
        float_parts="None.",
        measured={"outliers": [tensor.to_json() for tensor in calibration.tensors]},
    )
