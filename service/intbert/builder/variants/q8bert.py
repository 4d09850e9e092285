"""The variant `q8bert`: the teacher trained on with Q8BERT's rounding (Zafrir et al. 2019), in ONNX Runtime.

As the paper does, all layers are trained on the labels, from the first step with rounding; unlike there the training
starts from the fine-tuned teacher, so that it is short. Ranges are set by the first batch (the longest texts, since
batches are grouped by length) and hardly move in the few hundred steps that follow, as their decay is the paper's.

Two things that the paper has not are there for backbones with stronger outliers than BERT-base's, off by default: a
weight scale for each output (`q8bert.weight_scales`), and factors at outlier channels (`q8bert.channel_factors`).
"""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import JsonValue
from torch import Tensor
from transformers import PreTrainedModel, set_seed
from transformers.trainer_utils import get_last_checkpoint

from intbert.builder.bfloat16 import in_bfloat16
from intbert.builder.features import padding_collator
from intbert.builder.quantise import DistillationSettings, DistillationTrainer
from intbert.builder.student import calibration_batches
from intbert.builder.training_arguments import section_arguments, selection_metric
from intbert.builder.training_log import report_to
from intbert.builder.variants.contract import BuiltVariant, VariantInputs
from intbert.builder.variants.plan import Grid, Plan, quantised_graph
from intbert.builder.variants.q8bert_factors import channel_factors
from intbert.builder.variants.q8bert_modules import (
    ACTIVATION_MIN,
    ActivationRange,
    Q8Bert,
    Q8Embedding,
    Q8Linear,
    Q8Settings,
    round_weight,
)
from intbert.builder.variants.q8bert_sites import input_site, output_site

INTEGER_PARTS = (
    "All matrix products with weights, and of queries with keys (8-bit operands, 32-bit sums), after training with "
    "rounding; embedding tables and biases are stored as integers."
)
FLOAT_PARTS = (
    "Scales and channel factors, sums with bias, softmax and its product with the values, GELU, LayerNorm, residual "
    "sums and tanh."
)


def build_q8bert(inputs: VariantInputs) -> BuiltVariant:
    """Train, and write the graph. Training goes on from the last checkpoint in the stage's folder, if there is one."""
    model, losses = train_q8bert(inputs)
    return BuiltVariant(
        file="q8bert.onnx",
        content=q8bert_graph(model, inputs.teacher),
        engine="onnx",
        stored_dtype="int8",
        integer_parts=INTEGER_PARTS,
        float_parts=FLOAT_PARTS,
        measured={"losses": losses, "ranges": dict(ranges(model)), "factors": dict(factors_of(model))},
    )


def train_q8bert(inputs: VariantInputs) -> tuple[Q8Bert, list[Any]]:
    """The trained model, in evaluation mode, and the losses that the Trainer logged."""
    recipe, section = inputs.recipe, inputs.recipe.q8bert
    set_seed(recipe.seed)
    checkpoints = inputs.folder / "checkpoints"
    trainer = DistillationTrainer(
        teacher=inputs.teacher,
        problem_type=recipe.model.problem_type,
        settings=DistillationSettings(
            task_weight=1.0,
            logit_weight=section.logit_weight,
            hidden_weight=section.hidden_weight,
            bf16=in_bfloat16(section.bf16),
        ),
        model=new_q8bert(inputs),
        args=section_arguments(
            recipe,
            section,
            checkpoints,
            evaluate=bool(inputs.data.holdout),
            progress=inputs.progress,
            examples=len(inputs.data.train),
        ),
        train_dataset=inputs.data.train,
        eval_dataset=inputs.data.holdout or None,
        data_collator=padding_collator(inputs.tokenizer, recipe.finetune.pad_multiple),
        processing_class=inputs.tokenizer,
        compute_metrics=selection_metric(recipe.model.problem_type),
    )
    report_to(trainer, "q8bert", inputs.say, progress=inputs.progress)
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    losses = [{key: entry[key] for key in ("step", "loss")} for entry in trainer.state.log_history if "loss" in entry]
    model: Any = trainer.model
    return model.cpu().eval(), losses


def new_q8bert(inputs: VariantInputs) -> Q8Bert:
    """The teacher with Q8BERT's layers, as the recipe wants them, before training."""
    section = inputs.recipe.q8bert
    settings = Q8Settings(
        ema_decay=section.ema_decay,
        rounded_outputs=section.rounded_outputs,
        weight_scales=section.weight_scales,
        dropout=section.dropout,
        bf16=in_bfloat16(section.bf16),
    )
    factors = None
    if section.channel_factors:
        factors = channel_factors(
            inputs.teacher,
            calibration_batches(inputs.recipe, inputs.data.train, inputs.tokenizer),
            section.weight_scales,
        )
    return Q8Bert(inputs.teacher, settings, factors)


def q8bert_graph(model: Q8Bert, teacher: PreTrainedModel) -> bytes:
    """A trained copy of `teacher` as the content of an ONNX file, which computes what it does in evaluation mode."""
    return quantised_graph(_on_grids(model, teacher), _plan(model))


def ranges(model: Q8Bert) -> Iterator[tuple[str, float]]:
    """The largest magnitude that each rounded activation reaches over, by layer."""
    for name, linear in model.linears().items():
        yield f"{name}.input", float(linear.input.largest)
        if linear.output is not None:
            yield f"{name}.output", float(linear.output.largest)


def factors_of(model: Q8Bert) -> Iterator[tuple[str, JsonValue]]:
    """How many channels each layer divides by which factor, without those divided by 1."""
    for name, linear in model.linears().items():
        if linear.factors is not None:
            found = Counter(linear.factors.tolist())
            yield name, {f"{factor:g}": count for factor, count in sorted(found.items()) if factor != 1}


def _plan(model: Q8Bert) -> Plan:
    linears, layers = model.linears(), int(model.model.config.num_hidden_layers)
    return Plan(
        # Query, key and value read one tensor, and the three saw the same values of it
        inputs={input_site(name, layers): _grid(linear.input) for name, linear in linears.items()},
        activations={
            output_site(name): _grid(linear.output) for name, linear in linears.items() if linear.output is not None
        },
        weights={f"{name}.weight": _scale(step.squeeze(-1)) for name, step in _weight_steps(model).items()},
        biases={f"{name}.bias": _scale(linear.scale()) for name, linear in linears.items()},
        factors={
            input_site(name, layers): _scale(linear.factors)
            for name, linear in linears.items()
            if linear.factors is not None
        },
    )


def _grid(activation: ActivationRange) -> Grid:
    return Grid(scale=_scale(activation.step()), zero_point=np.asarray(-ACTIVATION_MIN, dtype=np.int64))


def _scale(step: Tensor) -> Any:
    return step.detach().cpu().numpy().astype(np.float32)


def _weight_steps(model: Q8Bert) -> Mapping[str, Tensor]:
    return {
        name: module.step()
        for name, module in model.model.named_modules()
        if isinstance(module, Q8Linear | Q8Embedding)
    }


def _on_grids(model: Q8Bert, teacher: PreTrainedModel) -> PreTrainedModel:
    """The float model whose weights and biases already lie on their grids, so that the writer's rounding finds them."""
    plain: PreTrainedModel = copy.deepcopy(teacher)
    state = {name: value.clone() for name, value in model.model.state_dict().items() if name in plain.state_dict()}
    for name, step in _weight_steps(model).items():
        weight = state[f"{name}.weight"]
        state[f"{name}.weight"] = round_weight(weight, step, weight.dtype) * step
    for name, linear in model.linears().items():
        state[f"{name}.bias"] = linear.bias_integers() * linear.scale()
    plain.load_state_dict(state)
    return plain
