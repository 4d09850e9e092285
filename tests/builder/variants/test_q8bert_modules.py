"""Q8BERT's layers: what is rounded, on which grid, and what passes back."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertForQuestionAnswering, BertForSequenceClassification

from intbert.builder.variants.q8bert_modules import (
    ActivationRange,
    Q8Bert,
    Q8Embedding,
    Q8Linear,
    Q8Settings,
    RoundToStep,
    Texts,
    weight_step,
)
from tests.builder.quantise.small_models import batches, bert_config, padded, random_texts, with_outliers


def on_grid(values: Tensor, step: Tensor) -> bool:
    """Whether every value is a whole number of steps."""
    units = values / step
    return bool(torch.allclose(units, units.round(), atol=1e-3))


def teacher(kind: type = BertForSequenceClassification) -> Any:
    """A small BERT with outliers."""
    torch.manual_seed(0)
    return with_outliers(kind(bert_config(num_labels=2)))


def test_gradients_pass_unclipped() -> None:
    """Values beyond the range are cut off, and their gradient is that of the identity over the step."""
    x = torch.tensor([0.26, -90.0, 0.1, 1000.0], requires_grad=True)
    integers = RoundToStep.apply(x, torch.tensor(0.1), -128, 127, torch.float32)
    (integers * 0.1).sum().backward()
    assert integers.tolist() == [3, -128, 1, 127]
    torch.testing.assert_close(x.grad, torch.ones(4))


def test_the_first_batch_sets_the_range_and_later_ones_move_it() -> None:
    """max |x| of the first batch, then decay * range + (1 - decay) * max |x| (equation 4)."""
    activation = ActivationRange(0.75, Texts()).train()
    activation(torch.tensor([[1.0, -4.0]]), torch.float32)
    assert activation.largest == 4.0
    activation(torch.tensor([[8.0, 0.0]]), torch.float32)
    assert activation.largest == 5.0
    activation.eval()(torch.tensor([[100.0, 0.0]]), torch.float32)
    assert activation.largest == 5.0
    assert activation.step() == torch.tensor(5.0) / 127


def test_padding_never_enters_a_range() -> None:
    """Whatever stands in padded positions, the range is that of the tokens."""
    texts = Texts()
    texts.mask = torch.tensor([[True, True], [True, False]])
    activation = ActivationRange(0.9, texts).train()
    activation(torch.tensor([[[1.0], [-2.0]], [[1.5], [99.0]]]), torch.float32)
    assert activation.largest == 2.0


def test_linear_layer_in_evaluation_multiplies_integers() -> None:
    """Input, weight and bias are on their grids: -128..127, -127..127, and int32 in units of both steps."""
    torch.manual_seed(1)
    layer = Q8Linear(nn.Linear(16, 5), Q8Settings(), Texts(), round_output=False).train()
    x = torch.randn(7, 16)
    layer(x)
    layer.eval()
    step, unit = weight_step(layer.weight), layer.input.step()
    assert step == layer.weight.abs().max() / 127
    weight, inputs = (layer.weight / step).round(), (x / unit).round().clamp(-128, 127)
    expected = inputs.double() @ weight.T.double() + (layer.bias.double() / (step * unit).double()).round()
    torch.testing.assert_close(layer(x), (expected * (step * unit).double()).float())


@pytest.mark.parametrize("rounded", ["query_key", "all"])
def test_outputs_are_rounded_where_the_settings_say(rounded: str) -> None:
    """Query and key always; every other linear layer on demand."""
    model = Q8Bert(teacher(), Q8Settings(rounded_outputs=rounded, bf16=False))  # type: ignore[arg-type]
    for name, linear in model.linears().items():
        expected = rounded == "all" or name.endswith((".query", ".key"))
        assert (linear.output is not None) is expected, name


def test_every_matrix_and_table_is_rounded() -> None:
    """No nn.Linear and no nn.Embedding is left."""
    for kind in (BertForSequenceClassification, BertForQuestionAnswering):
        model = Q8Bert(teacher(kind), Q8Settings())
        left = [name for name, part in model.named_modules() if isinstance(part, nn.Linear | nn.Embedding)]
        assert left == []


def test_embeddings_are_on_the_grid_of_their_table() -> None:
    """The step is the whole table's maximum over 127, not that of the rows in the batch."""
    table = nn.Embedding(9, 4)
    layer = Q8Embedding(table)
    step = table.weight.detach().abs().max() / 127
    rows = layer(torch.tensor([[1, 2]]))
    assert on_grid(rows, step)
    torch.testing.assert_close(rows, table(torch.tensor([[1, 2]])), atol=float(step) / 2, rtol=0)


def test_the_teacher_is_not_touched() -> None:
    """Training works on a copy."""
    original = teacher()
    before = {name: value.clone() for name, value in original.state_dict().items()}
    model = Q8Bert(original, Q8Settings(bf16=False)).train()
    loss = model(**padded(random_texts(3))).logits.square().sum()
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    for name, value in original.state_dict().items():
        torch.testing.assert_close(value, before[name])
    assert type(original.bert.pooler.dense) is nn.Linear


def test_all_parameters_get_gradients() -> None:
    """Weights, biases, norms and tables are all trained."""
    model = Q8Bert(teacher(), Q8Settings()).train()
    model(**padded(random_texts(3))).logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_rounding_changes_little() -> None:
    """A copy that saw some texts predicts about what its teacher does, and not exactly that."""
    original = teacher(BertForQuestionAnswering)
    model = Q8Bert(original, Q8Settings(dropout=0.0)).train()
    with torch.no_grad():
        for batch in batches(16):
            model(**batch)
        model.eval()
        batch = padded(random_texts(20, seed=5))
        mask = batch["attention_mask"].bool()
        ours, theirs = model(**batch).start_logits[mask], original(**batch).start_logits[mask]
    difference = (ours - theirs).std() / theirs.std()
    assert 1e-3 < difference < 0.4


def test_attention_dropout_is_left_as_it_is() -> None:
    """The setting is about hidden states: dropout in attention would cost a CPU its fused kernel."""
    original = teacher()
    original.bert.encoder.layer[0].attention.self.dropout.p = 0.0
    original.bert.encoder.layer[1].attention.self.dropout.p = 0.0
    model = Q8Bert(original, Q8Settings(dropout=0.2))
    rates = {name: part.p for name, part in model.named_modules() if isinstance(part, nn.Dropout)}
    assert {rate for name, rate in rates.items() if name.endswith("attention.self.dropout")} == {0.0}
    assert {rate for name, rate in rates.items() if not name.endswith("attention.self.dropout")} == {0.2}
