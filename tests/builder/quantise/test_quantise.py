"""Calibration, export, re-export, twin and training on small random models."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    TrainingArguments,
)

from intbert.arithmetic.encoder import forward
from intbert.arithmetic.program import Program
from intbert.builder.quantise import (
    DistillationSettings,
    DistillationTrainer,
    Exported,
    QuantisedModel,
    QuantiseSettings,
    Scales,
    calibrate,
    export_program,
    layer_errors,
    reexport,
    twin_logits,
)
from intbert.builder.quantise.real import real_model, state_dict
from tests.builder.quantise.small_models import batches, bert_config, padded, ragged, random_texts


def quantised(teacher: nn.Module, **settings: bool) -> QuantisedModel:
    """Calibrated, in float32."""
    model = QuantisedModel.from_teacher(teacher, QuantiseSettings(bf16=False, **settings))
    calibrate(model, batches())
    return model


@pytest.fixture(scope="module")
def exported(classifier: nn.Module) -> Exported:
    """The classifier after calibration alone."""
    return export_program(quantised(classifier))


def relative(actual: np.ndarray, expected: np.ndarray) -> float:
    """RMS error over RMS."""
    return float(np.sqrt(np.square(actual - expected).mean() / np.square(expected).mean()))


def test_integer_logits_are_close_to_the_float_model(classifier: nn.Module, exported: Exported) -> None:
    """Calibration alone keeps every hidden state within 8 % and the logits within 10 %, despite outlier channels."""
    errors = layer_errors(exported, classifier, [(text, [0] * len(text)) for text in random_texts(24, seed=5)])
    assert [error.name for error in errors] == ["embeddings", "layer 0", "layer 1", "logits"]
    assert max(error.residual for error in errors[:-1]) < 0.08
    assert errors[-1].residual < 0.1
    assert all(error.saturated == 0 for error in errors)


def test_span_program_has_a_row_for_every_token(span_model: nn.Module) -> None:
    """Without a pooler the program gives (tokens, 2) logits near the float model's start and end logits."""
    exported_span = export_program(quantised(span_model))
    texts = random_texts(12, seed=6)
    logits = forward(exported_span.program, *ragged(texts)) * exported_span.logit_scale
    with torch.no_grad():
        outputs = [span_model(torch.tensor([text])) for text in texts]
    expected = np.concatenate([np.stack([o.start_logits[0].numpy(), o.end_logits[0].numpy()], axis=1) for o in outputs])
    assert logits.shape == expected.shape
    assert relative(logits, expected) < 0.1


def test_twin_equals_the_specification(exported: Exported, span_model: nn.Module) -> None:
    """The torch twin gives the reference's bits, for classifier and span model, whatever the lengths."""
    for program in (exported.program, export_program(quantised(span_model)).program):
        batch = ragged(random_texts(20, seed=7))
        np.testing.assert_array_equal(twin_logits(program, *batch), forward(program, *batch))


def test_reexport_gives_the_same_program(exported: Exported) -> None:
    """A stored program and its kept scales, through JSON, give every tensor again, bit for bit."""
    kept = json.loads(json.dumps(exported.scales.to_json()))
    again = reexport(exported.program.tensors(), kept)
    first, second = exported.program.tensors(), again.program.tensors()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor, second[name], err_msg=name)
    assert again.logit_scale == exported.logit_scale


def test_scales_come_back_from_kept_ones(exported: Exported) -> None:
    """Everything that the manifest does not keep follows from the program's integers."""
    again = Scales.from_json(exported.scales.to_json(), exported.program)
    for before, after in zip(exported.scales.layers, again.layers, strict=True):
        for name in ("qkv_weight", "context", "attention_output_weight", "ffn_input_weight", "gelu_output"):
            np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(after.ffn_norm.view, before.ffn_norm.view, rtol=1e-12)
        assert after.ffn_sum == before.ffn_sum


def test_padding_changes_nothing(classifier: nn.Module) -> None:
    """A text's simulated logits are the same alone and padded beside a longer one."""
    model = quantised(classifier)
    short, long = random_texts(40, seed=8)[0][:5] or [1], random_texts(40, seed=9)[1] + [4] * 20
    with torch.no_grad():
        alone = model(**padded([short])).logits
        beside = model(**padded([short, long])).logits[:1]
    torch.testing.assert_close(alone, beside, atol=2e-3, rtol=2e-3)


def test_simulation_is_nearer_to_the_program_than_the_float_model(classifier: nn.Module) -> None:
    """What is trained imitates what is exported: its logits lie nearer to the program's than the float model's do."""
    model = quantised(classifier)
    result = export_program(model)
    texts = random_texts(32, seed=10)
    actual = forward(result.program, *ragged(texts)) * result.logit_scale
    with torch.no_grad():
        simulated = model(**padded(texts)).logits.numpy()
        expected = classifier(**padded(texts)).logits.numpy()
    assert relative(simulated, actual) < 0.7 * relative(expected, actual)


def test_dead_and_duplicate_channels_export(classifier: nn.Module) -> None:
    """Rows of zero weights, a zero embedding row and zero biases do not break export or bounds."""
    model = BertForSequenceClassification(classifier.config)
    model.load_state_dict(classifier.state_dict())
    with torch.no_grad():
        layer = model.bert.encoder.layer[0]
        for linear in (layer.attention.self.query, layer.intermediate.dense, layer.output.dense):
            linear.weight[0] = 0
            linear.bias[0] = 0
        model.bert.embeddings.word_embeddings.weight[7] = 0
    result = export_program(quantised(model))
    assert result.program.layers[0].ffn_output.weight[0].any() == np.False_


def test_uncalibrated_model_is_refused(classifier: nn.Module) -> None:
    """Running without ranges is an error that names the missing step."""
    with pytest.raises(RuntimeError, match="calibrate"):
        QuantisedModel.from_teacher(classifier)(torch.tensor([[1, 2]]))


def test_calibration_needs_tokens(classifier: nn.Module) -> None:
    """No batches are an error, not scales of nothing."""
    with pytest.raises(ValueError, match="at least one"):
        calibrate(QuantisedModel.from_teacher(classifier), [])


def test_other_architectures_are_refused() -> None:
    """A checkpoint that is no BERT is an error, not a wrong model."""
    config = RobertaConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    with pytest.raises(ValueError, match="BERT"):
        QuantisedModel.from_teacher(RobertaForSequenceClassification(config))


def test_state_dict_round_trip(classifier: nn.Module) -> None:
    """Real parameters and Hugging Face names translate into each other without loss."""
    state = state_dict(real_model(classifier.state_dict(), heads=4))
    expected = {name for name in classifier.state_dict() if "position_ids" not in name}
    assert state.keys() == expected


def test_training_moves_towards_the_teacher_and_freezes(classifier: nn.Module, tmp_path: Path) -> None:
    """A few dozen steps lower the distillation loss of a disturbed copy; afterwards no step size is trainable."""
    disturbed = BertForSequenceClassification(bert_config())
    generator = torch.Generator().manual_seed(3)
    disturbed.load_state_dict(
        {
            name: tensor + 0.1 * tensor.std(correction=0) * torch.randn(tensor.shape, generator=generator)
            for name, tensor in classifier.state_dict().items()
        }
    )
    model = quantised(disturbed)
    trainer = _trainer(model, classifier, tmp_path, max_steps=40)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.7 * losses[0]
    assert not any(gain.requires_grad for gain in model.gains())
    assert any(float(gain.abs().max()) > 0 for gain in model.gains())
    result = export_program(model)
    assert isinstance(Program.from_tensors(result.program.tensors()), Program)


def test_resumed_training_equals_uninterrupted(classifier: nn.Module, tmp_path: Path) -> None:
    """Stopping at a checkpoint and resuming gives the weights of an uninterrupted run."""
    whole, resumed = quantised(classifier), quantised(classifier)
    _trainer(whole, classifier, tmp_path / "whole", max_steps=6).train()
    again = _trainer(resumed, classifier, tmp_path / "resumed", max_steps=6)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    for (name, first), second in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(first, second, msg=name)


def _trainer(model: QuantisedModel, teacher: nn.Module, folder: Path, *, max_steps: int) -> DistillationTrainer:
    examples = [
        {
            "input_ids": text,
            "attention_mask": [1] * len(text),
            "token_type_ids": [0] * len(text),
            "labels": len(text) % 3,
        }
        for text in random_texts(64, seed=11)
    ]
    return DistillationTrainer(
        model=model,
        teacher=teacher,
        problem_type="single_label_classification",
        settings=DistillationSettings(task_weight=0.0),
        args=TrainingArguments(
            output_dir=str(folder),
            max_steps=max_steps,
            per_device_train_batch_size=8,
            learning_rate=2e-3,
            logging_steps=5,
            save_steps=3,
            use_cpu=True,
            report_to="none",
            remove_unused_columns=False,
            label_names=["labels"],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=examples,
        data_collator=_collate,
    )


def _collate(examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    return {
        **padded([example["input_ids"] for example in examples]),
        "labels": torch.tensor([example["labels"] for example in examples]),
    }
