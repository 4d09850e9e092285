"""Quantisation of a fine-tuned BERT: calibration, training with a teacher, export, integer twin, error analysis.

The way of a model through this package::

    model = QuantisedModel.from_teacher(teacher, QuantiseSettings())      # teacher: Hugging Face BERT, fine-tuned
    calibrate(model, batches)                                             # a few hundred texts; padding is ignored
    trainer = DistillationTrainer(                                        # a transformers.Trainer; optional: without it
        model=model, teacher=teacher, problem_type=..., args=..., ...     # the export is post-training quantisation
    )
    trainer.train(resume_from_checkpoint=...)
    exported = export_program(model)                                      # Exported(program, scales, logit_scale)

`batches` are mappings with `input_ids`, `attention_mask` and `token_type_ids`, as the tokenizer returns them. After
training, `exported.program.tensors()` goes into `int8.safetensors` and `exported.scales.to_json()` into the manifest;
`reexport(tensors, scales)` makes the same program of the two without training. `twin_logits` is the torch
implementation of the specification and `layer_errors` compares each layer of a program with the float model.
"""

from intbert.builder.quantise.calibrate import calibrate, calibrated_scales
from intbert.builder.quantise.distil import DistillationSettings, DistillationTrainer
from intbert.builder.quantise.export import Exported, export
from intbert.builder.quantise.modules import QuantisedModel, QuantiseSettings
from intbert.builder.quantise.outliers import TensorChoice
from intbert.builder.quantise.reexport import dequantise, reexport
from intbert.builder.quantise.sensitivity import LayerError, layer_errors
from intbert.builder.quantise.tensor_costs import TensorCost, tensor_costs
from intbert.builder.quantise.twin import twin_logits
from intbert.model.scales import Scales


def export_program(model: QuantisedModel) -> Exported:
    """The integer program of a calibrated model, trained or not, bounds proved. ValueError names what does not fit."""
    return export(model.real(), model.scales())


__all__ = [
    "DistillationSettings",
    "DistillationTrainer",
    "Exported",
    "LayerError",
    "QuantiseSettings",
    "QuantisedModel",
    "Scales",
    "TensorChoice",
    "TensorCost",
    "calibrate",
    "calibrated_scales",
    "dequantise",
    "export_program",
    "layer_errors",
    "reexport",
    "tensor_costs",
    "twin_logits",
]
