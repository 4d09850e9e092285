"""The cost of rounding one tensor alone."""

import pytest
import torch
from torch import nn

from intbert.builder.quantise import QuantisedModel, QuantiseSettings, Scales, TensorCost, calibrate, tensor_costs
from tests.builder.quantise.small_models import batches, padded, random_texts


def scales_of(model: nn.Module) -> Scales:
    """Calibrated."""
    quantised = QuantisedModel.from_teacher(model, QuantiseSettings(bf16=False))
    return calibrate(quantised, batches()).scales


@pytest.fixture(scope="module")
def costs(classifier: nn.Module) -> dict[str, TensorCost]:
    """Of the classifier, by tensor."""
    found = tensor_costs(classifier, scales_of(classifier), [padded(random_texts(12, seed=21))])
    assert len({cost.tensor for cost in found}) == len(found)
    return {cost.tensor: cost for cost in found}


def test_every_tensor_is_there(costs: dict[str, TensorCost]) -> None:
    """Tables, LayerNorms, heads, GELU, every matrix and the pooler, under the program's names."""
    layer = {f"{part}" for part in ("qkv", "query", "key", "value", "context", "attention_output", "ffn_input", "gelu")}
    layer |= {"ffn_output", "attention_norm.view", "attention_norm.residual", "ffn_norm.view", "ffn_norm.residual"}
    expected = {f"layers.{index}.{name}" for index in (0, 1) for name in layer}
    expected |= {"embedding.word", "embedding_norm.view", "embedding_norm.residual"}
    assert costs.keys() == expected | {"head.pooler", "head.pooled", "head.output"}


def test_eight_bits_cost_more_than_sixteen(costs: dict[str, TensorCost]) -> None:
    """The view that the pooler reads costs far more than its 16-bit residual; no residual costs 0.1 %, nothing 10 %."""
    assert costs["layers.1.ffn_norm.residual"].logits < costs["layers.1.ffn_norm.view"].logits / 10
    assert all(cost.hidden < 1e-3 for cost in costs.values() if cost.kind == "residual")
    assert all(cost.hidden < 0.1 for cost in costs.values())
    assert all(cost.logits > 0 for cost in costs.values())


def test_what_comes_after_the_hidden_state_leaves_it(costs: dict[str, TensorCost]) -> None:
    """Pooler and output touch the logits only."""
    for name in ("head.pooler", "head.pooled", "head.output", "layers.1.ffn_norm.view"):
        assert costs[name].hidden == 0


def test_model_is_left_as_it_was(span_model: nn.Module) -> None:
    """Afterwards weights and results are the same bits, hooks are gone; a span model has no pooler to round."""
    before = {name: tensor.clone() for name, tensor in span_model.state_dict().items()}
    batch = padded(random_texts(6, seed=22))
    with torch.no_grad():
        expected = span_model(**batch).start_logits
    found = tensor_costs(span_model, scales_of(span_model), [batch])
    with torch.no_grad():
        assert torch.equal(span_model(**batch).start_logits, expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in span_model.state_dict().items())
    assert {cost.tensor for cost in found if cost.tensor.startswith("head.")} == {"head.output"}


def test_padding_does_not_count(classifier: nn.Module) -> None:
    """A text costs the same alone and padded beside a longer one of its own kind."""
    scales, text = scales_of(classifier), random_texts(1, seed=23)[0][:6] or [3]
    alone = tensor_costs(classifier, scales, [padded([text])])
    twice = tensor_costs(classifier, scales, [padded([text]), padded([text])])
    for first, second in zip(alone, twice, strict=True):
        assert first.hidden == pytest.approx(second.hidden, rel=1e-3, abs=1e-6)
