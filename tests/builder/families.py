"""Tiny checkpoints of the families that become BERTs, as users have them: saved models, tokenizers trained on texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer
from torch import nn
from transformers import (
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertModel,
    DistilBertTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
    RobertaTokenizer,
)

FAMILIES = ("distilbert", "roberta")
POSITIONS = 64
BPE_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BARE: dict[str, Any] = {"distilbert": DistilBertModel, "roberta": RobertaForMaskedLM}
CLASSIFIERS: dict[str, Any] = {
    "distilbert": DistilBertForSequenceClassification,
    "roberta": RobertaForSequenceClassification,
}
SPAN_MODELS: dict[str, Any] = {"distilbert": DistilBertForQuestionAnswering, "roberta": RobertaForQuestionAnswering}


def family_config(family: str, vocabulary: int, *, channels: int = 32, heads: int = 2, **more: Any) -> PretrainedConfig:
    """Two layers, and weights large enough for every stage to matter; RoBERTa's positions begin at 2."""
    shared: dict[str, Any] = {"vocab_size": vocabulary, "initializer_range": 0.2, **more}
    if family == "distilbert":
        return DistilBertConfig(
            dim=channels,
            n_layers=2,
            n_heads=heads,
            hidden_dim=2 * channels,
            max_position_embeddings=POSITIONS,
            **shared,
        )
    return RobertaConfig(
        hidden_size=channels,
        num_hidden_layers=2,
        num_attention_heads=heads,
        intermediate_size=2 * channels,
        max_position_embeddings=POSITIONS + 2,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        **shared,
    )


def family_model(kind: Any, config: PretrainedConfig) -> PreTrainedModel:
    """Random parameters, biases included: a bias that stayed zero would hide where it belongs."""
    torch.manual_seed(5)
    model: PreTrainedModel = kind(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return model


def write_family_tokenizer(family: str, folder: Path, texts: Sequence[str]) -> int:
    """The family's own kind of tokenizer, trained on `texts`, as `from_pretrained` finds it; its vocabulary's size."""
    folder.mkdir(parents=True, exist_ok=True)
    trained = folder / "trained"
    trained.mkdir()
    if family == "distilbert":
        pieces = BertWordPieceTokenizer()
        pieces.train_from_iterator(texts, vocab_size=200, min_frequency=1, show_progress=False)
        pieces.save_model(str(trained))
        tokenizer: Any = DistilBertTokenizer(vocab=str(trained / "vocab.txt"))
    else:
        merges = ByteLevelBPETokenizer()
        merges.train_from_iterator(texts, vocab_size=400, special_tokens=BPE_SPECIALS, show_progress=False)
        merges.save_model(str(trained))
        tokenizer = RobertaTokenizer(vocab=str(trained / "vocab.json"), merges=str(trained / "merges.txt"))
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def write_family_checkpoint(family: str, folder: Path, texts: Sequence[str], kind: Any = None, **more: Any) -> Path:
    """Tokenizer and model: without a head, or a `kind` with its own."""
    config = family_config(family, write_family_tokenizer(family, folder, texts), **more)
    family_model(kind or BARE[family], config).save_pretrained(folder)
    return folder
