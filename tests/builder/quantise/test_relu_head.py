"""A pooler that ends in ReLU: its scale, its simulation, its export at the edges."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertForSequenceClassification

from intbert.arithmetic.encoder import forward
from intbert.builder.families import with_pooler_activation
from intbert.builder.quantise import Exported, QuantisedModel, QuantiseSettings, calibrate, export_program, reexport
from tests.builder.quantise.small_models import batches, bert_config, padded, ragged, random_texts, with_outliers


def relu_classifier() -> nn.Module:
    """The small classifier with DistilBERT's activation."""
    torch.manual_seed(0)
    config = bert_config()
    config.pooler_activation = "relu"
    return with_outliers(with_pooler_activation(BertForSequenceClassification(config)))


def quantised(teacher: nn.Module) -> QuantisedModel:
    """Calibrated, in float32."""
    model = QuantisedModel.from_teacher(teacher, QuantiseSettings(bf16=False))
    calibrate(model, batches())
    return model


def relative_error(exported: Exported, teacher: nn.Module) -> float:
    """RMS error of the integer logits over RMS of the float ones."""
    texts = random_texts(24, seed=5)
    with torch.no_grad():
        expected = teacher(**padded(texts)).logits.numpy()
    actual = forward(exported.program, *ragged(texts)) * exported.logit_scale
    return float(np.sqrt(np.square(actual - expected).mean() / np.square(expected).mean()))


def test_calibrated_program_is_close() -> None:
    """Calibration alone keeps the logits within 10 %, and the kept scale gives the same program again."""
    teacher = relu_classifier()
    exported = export_program(quantised(teacher))
    assert relative_error(exported, teacher) < 0.1
    again = reexport(exported.program.tensors(), exported.scales.to_json())
    for name, tensor in exported.program.tensors().items():
        np.testing.assert_array_equal(again.program.tensors()[name], tensor, err_msg=name)


@pytest.mark.parametrize("factor", [1e-3, 1e-6])
def test_a_scale_finer_than_its_accumulators_is_widened(factor: float) -> None:
    """A step that training made too fine costs guard bits and is then widened, instead of failing the export."""
    model = quantised(relu_classifier())
    assert model.relu is not None
    model.relu.base.mul_(factor)
    exported = export_program(model)
    guard_bits = exported.program.head.relu_guard_bits
    assert guard_bits is not None
    assert 1 <= guard_bits < 6


def test_a_silent_head_exports() -> None:
    """Where ReLU lets nothing through, the logits are the output layer's bias."""
    teacher = relu_classifier()
    with torch.no_grad():
        teacher.bert.pooler.dense.bias.fill_(-1e3)  # type: ignore[union-attr,operator]
    exported = export_program(quantised(teacher))
    assert relative_error(exported, teacher) < 1e-3


def test_gradients() -> None:
    """Straight through inside the range, none outside; the step learns from rounding inside and from clipping above."""
    model = quantised(relu_classifier())
    assert model.relu is not None
    step = float(model.relu.base[0])
    x = (torch.tensor([[-3.0, 10.4, 300.0]]) * step).requires_grad_()
    integers, steps = model._activate(x)
    torch.testing.assert_close(integers, torch.tensor([[0.0, 10.0, 255.0]]))
    torch.testing.assert_close(steps, torch.full((3,), step))
    integers.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * step, torch.tensor([[0.0, 1.0, 0.0]]))
    assert model.relu.gain.grad is not None
    torch.testing.assert_close(model.relu.gain.grad, torch.tensor([(10.0 - 10.4 + 255.0) * np.log(2)]).float())
