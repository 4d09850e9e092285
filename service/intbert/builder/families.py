"""Model families: a RoBERTa or DistilBERT becomes an equal BERT when it is loaded; everything after sees only BERT.

Their encoders are BERT's under other names. What differs is moved into the weights: RoBERTa's positions begin behind
its padding index, DistilBERT has no token types. Only DistilBERT's ReLU in the pooler's place stays a difference, kept
in the configuration as `pooler_activation`.

Sources: Liu et al. 2019, RoBERTa; Sanh et al. 2019, DistilBERT; the module names are those of transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from intbert.builder.attention import attend_by_length
from intbert.builder.failure import BackboneError

TOKEN_TYPES = 2  # equal ones: whatever type ids a tokenizer writes, these families do not tell texts apart
DISTILBERT_EPSILON = 1e-12  # fixed in its modules, no field of its configuration


@dataclass(frozen=True, kw_only=True)
class Family:
    """What tells an architecture from BERT: names of parameters, replaced in order, and the pooler's activation."""

    pooler_activation: str = "tanh"
    renames: tuple[tuple[str, str], ...] = ()


FAMILIES: Mapping[str, Family] = {
    "bert": Family(),
    "distilbert": Family(
        pooler_activation="relu",
        renames=(
            ("distilbert.transformer.", "bert.encoder."),
            ("distilbert.", "bert."),
            (".attention.q_lin.", ".attention.self.query."),
            (".attention.k_lin.", ".attention.self.key."),
            (".attention.v_lin.", ".attention.self.value."),
            (".attention.out_lin.", ".attention.output.dense."),
            (".sa_layer_norm.", ".attention.output.LayerNorm."),
            (".ffn.lin1.", ".intermediate.dense."),
            (".ffn.lin2.", ".output.dense."),
            (".output_layer_norm.", ".output.LayerNorm."),
            ("pre_classifier.", "bert.pooler.dense."),
        ),
    ),
    "roberta": Family(
        renames=(
            ("roberta.", "bert."),
            ("classifier.dense.", "bert.pooler.dense."),
            ("classifier.out_proj.", "classifier."),
        ),
    ),
}


def check_architecture(config: PretrainedConfig) -> None:
    """Raise BackboneError unless the integer program can express the architecture."""
    if config.model_type not in FAMILIES:
        supported = ", ".join(FAMILIES)
        raise BackboneError(f"architecture {config.model_type!r} is not supported; supported: {supported}")
    if getattr(config, "position_embedding_type", None) not in (None, "absolute"):
        raise BackboneError(f"position embeddings {config.position_embedding_type!r} are not supported; use absolute")
    activation = config.activation if config.model_type == "distilbert" else config.hidden_act
    if activation != "gelu":
        raise BackboneError(f"activation {activation!r} is not supported; supported: gelu")


def tokens_max(config: PretrainedConfig) -> int:
    """How many tokens the architecture's position table can number."""
    return int(config.max_position_embeddings) - _first_position(config)


def bert_config(config: PretrainedConfig) -> PretrainedConfig:
    """The configuration of the equal BERT; the same object for a BERT.

    `source_family` names where it came from; dropout and initialisation do not come along.
    """
    if config.model_type == "bert":
        return config
    distilled = config.model_type == "distilbert"
    ours: dict[str, Any] = {
        "pooler_activation": FAMILIES[config.model_type].pooler_activation,
        "source_family": config.model_type,
    }
    return BertConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.hidden_dim if distilled else config.intermediate_size,
        max_position_embeddings=tokens_max(config),
        type_vocab_size=TOKEN_TYPES,
        layer_norm_eps=DISTILBERT_EPSILON if distilled else config.layer_norm_eps,
        pad_token_id=config.pad_token_id,
        problem_type=config.problem_type,
        id2label=config.id2label,
        label2id=config.label2id,
        **ours,
    )


def as_bert(model: PreTrainedModel, config: PretrainedConfig) -> PreTrainedModel:
    """The BERT of `config` (made by `bert_config`) that computes what `model` does; the same object for a BERT.

    model: a sequence classifier or span QA model of a supported family, its head included.
    """
    if model.config.model_type == "bert":
        return model
    kind: Any = BertForQuestionAnswering if hasattr(model, "qa_outputs") else BertForSequenceClassification
    bert = with_pooler_activation(kind(config))
    bert.load_state_dict(bert_state(model))
    bert.train(model.training)
    return bert


def bert_state(model: PreTrainedModel) -> dict[str, Tensor]:
    """The model's parameters under BERT's names, positions from 0, rows of one token type."""
    source: Any = model.config
    state = {_renamed(name, FAMILIES[source.model_type]): value for name, value in model.state_dict().items()}
    position, types = (f"bert.embeddings.{kind}_embeddings.weight" for kind in ("position", "token_type"))
    state[position] = state[position][_first_position(source) :]
    absent = state[position].new_zeros(1, source.hidden_size)
    state[types] = state.get(types, absent)[:1].repeat(TOKEN_TYPES, 1)
    return {name: value.clone() for name, value in state.items()}


def load_bert(folder: Path, *, spans: bool) -> PreTrainedModel:
    """A saved BERT with a span QA or classification head, ready to evaluate, its pooler as the configuration says."""
    kind: Any = BertForQuestionAnswering if spans else BertForSequenceClassification
    return attend_by_length(with_pooler_activation(kind.from_pretrained(folder)))


def with_pooler_activation(model: Any) -> PreTrainedModel:
    """The same model, its pooler made to activate as `pooler_activation` says: transformers' is always tanh."""
    if pooler_activation(model.config) == "relu" and model.bert.pooler is not None:
        model.bert.pooler.activation = nn.ReLU()
    bert: PreTrainedModel = model
    return bert


def pooler_activation(config: Any) -> str:
    """`tanh` or `relu`."""
    return str(getattr(config, "pooler_activation", "tanh"))


def family_of(config: Any) -> str:
    """The family that a BERT's weights came from."""
    return str(getattr(config, "source_family", config.model_type))


def _first_position(config: PretrainedConfig) -> int:
    """Row of a sequence's first token. fairseq, hence RoBERTa, numbers positions from behind the padding index."""
    return int(config.pad_token_id) + 1 if config.model_type == "roberta" else 0


def _renamed(name: str, family: Family) -> str:
    for theirs, ours in family.renames:
        name = name.replace(theirs, ours)
    return name
