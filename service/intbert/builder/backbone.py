"""Load a checkpoint as a BERT with its tokenizer, and refuse what the integer program cannot express."""

import importlib.util
from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from intbert.builder.attention import attend_by_length
from intbert.builder.failure import BackboneError
from intbert.builder.families import as_bert, bert_config, check_architecture, tokens_max
from intbert.builder.recipe import Recipe

PACKAGE_PREFIX = "package:"


def locate(backbone: str) -> str:
    """A directory or hub name that transformers can load, from the recipe's `backbone`. Raises BackboneError."""
    if not backbone.startswith(PACKAGE_PREFIX):
        return backbone
    module, _, folder = backbone.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise BackboneError(f"backbone {backbone!r}: package {module!r} is not installed; install it first")
    path = Path(spec.submodule_search_locations[0]) / folder
    if not path.is_dir():
        raise BackboneError(f"backbone {backbone!r}: package {module!r} has no folder {folder!r}")
    return str(path)


def load_config(recipe: Recipe) -> PretrainedConfig:
    """The checkpoint's own configuration, checked: architecture and positions. Raises BackboneError."""
    source = locate(recipe.model.backbone)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(source, revision=recipe.model.backbone_revision)
    except (OSError, ValueError, KeyError) as error:
        raise BackboneError(f"cannot load backbone {recipe.model.backbone!r}: {error}") from error
    check_architecture(config)
    if recipe.model.tokens_max > tokens_max(config):
        raise BackboneError(
            f"model.tokens_max is {recipe.model.tokens_max}, but the backbone has {tokens_max(config)} positions"
        )
    return config


def set_task(config: PretrainedConfig, recipe: Recipe, label_names: tuple[str, ...]) -> None:
    """Write problem type, labels and dropout into the configuration."""
    config.hidden_dropout_prob = recipe.finetune.dropout
    config.attention_probs_dropout_prob = recipe.finetune.attention_dropout
    if recipe.model.problem_type == "span_qa":
        return
    names = label_names or ("score",)
    config.problem_type = recipe.model.problem_type
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}


def load_model(recipe: Recipe, label_names: tuple[str, ...]) -> PreTrainedModel:
    """The checkpoint as a BERT with a head for the recipe's task, newly initialised where the checkpoint has none."""
    config = load_config(recipe)
    set_task(config, recipe, label_names)
    kind: Any = (
        AutoModelForQuestionAnswering if recipe.model.problem_type == "span_qa" else AutoModelForSequenceClassification
    )
    model: PreTrainedModel = kind.from_pretrained(
        locate(recipe.model.backbone),
        config=config,
        revision=recipe.model.backbone_revision,
        ignore_mismatched_sizes=True,
    )
    ours = bert_config(config)
    set_task(ours, recipe, label_names)
    return attend_by_length(as_bert(model, ours))


def load_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """The checkpoint's fast tokenizer. Raises BackboneError when there is none, or the checkpoint cannot be used."""
    load_config(recipe)  # names what is wrong with the architecture before a tokenizer of it is looked for
    tokenizer = AutoTokenizer.from_pretrained(locate(recipe.model.backbone), revision=recipe.model.backbone_revision)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise BackboneError(f"backbone {recipe.model.backbone!r} has no tokenizer.json; a fast tokenizer is needed")
    return tokenizer
