"""Attention chosen by length computes what transformers' own does."""

import copy

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from intbert.builder.attention import SHORT_TOKENS_MAX, attend_by_length

LENGTHS = (1, 17, SHORT_TOKENS_MAX, SHORT_TOKENS_MAX + 8)


@pytest.fixture(scope="module")
def original() -> PreTrainedModel:
    """A small random BERT without dropout, its attention transformers' plain one."""
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=SHORT_TOKENS_MAX + 8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
        initializer_range=0.4,
    )
    return BertForSequenceClassification(config).train()


def inputs(tokens: int, *, padded: int) -> dict[str, torch.Tensor]:
    """Three texts; the last one ends `padded` tokens earlier."""
    generator = torch.Generator().manual_seed(tokens)
    mask = torch.ones(3, tokens, dtype=torch.long)
    mask[2, tokens - padded :] = 0
    return {"input_ids": torch.randint(5, 60, (3, tokens), generator=generator), "attention_mask": mask}


@pytest.mark.parametrize("tokens", LENGTHS)
@pytest.mark.parametrize("share_padded", [0.0, 0.6])
def test_logits_and_gradients_are_those_of_the_plain_attention(
    original: PreTrainedModel, tokens: int, share_padded: float
) -> None:
    """On both sides of the length at which the way changes, with and without padding."""
    fields = inputs(tokens, padded=int(share_padded * tokens))
    ours = attend_by_length(copy.deepcopy(original))
    results = []
    for model in (original, ours):
        model.zero_grad()
        logits = model(**fields).logits
        logits.square().sum().backward()
        results.append((logits.detach(), [parameter.grad for parameter in model.parameters()]))
    (logits, gradients), (our_logits, our_gradients) = results
    torch.testing.assert_close(our_logits, logits, rtol=1e-4, atol=1e-5)
    for ours_one, one in zip(our_gradients, gradients, strict=True):
        torch.testing.assert_close(ours_one, one, rtol=1e-3, atol=1e-3)


def test_dropout_of_shares_is_for_training_alone(original: PreTrainedModel) -> None:
    """With dropout two passes differ in training, and agree in evaluation."""
    model = attend_by_length(copy.deepcopy(original))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    fields = inputs(17, padded=4)
    with torch.no_grad():
        first, second = (model.train()(**fields).logits for _ in range(2))
        assert not torch.equal(first, second)
        assert torch.equal(model.eval()(**fields).logits, model(**fields).logits)
