"""Load a checkpoint and its tokenizer, and refuse what the integer program cannot express."""

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

from intbert.builder.failure import BackboneError
from intbert.builder.recipe import Recipe

PACKAGE_PREFIX = "package:"
SUPPORTED_ARCHITECTURES = ("bert",)


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


def load_config(recipe: Recipe, label_names: tuple[str, ...]) -> PretrainedConfig:
    """The checkpoint's configuration with the recipe's task on it. Raises BackboneError."""
    source = locate(recipe.model.backbone)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(source, revision=recipe.model.backbone_revision)
    except (OSError, ValueError, KeyError) as error:
        raise BackboneError(f"cannot load backbone {recipe.model.backbone!r}: {error}") from error
    check_architecture(config)
    if recipe.model.tokens_max > config.max_position_embeddings:
        raise BackboneError(
            f"model.tokens_max is {recipe.model.tokens_max}, "
            f"but the backbone has {config.max_position_embeddings} positions"
        )
    set_task(config, recipe, label_names)
    return config


def check_architecture(config: PretrainedConfig) -> None:
    """Raise BackboneError unless the integer program can express the architecture."""
    supported = ", ".join(SUPPORTED_ARCHITECTURES)
    if config.model_type not in SUPPORTED_ARCHITECTURES:
        raise BackboneError(f"architecture {config.model_type!r} is not supported; supported: {supported}")
    if getattr(config, "position_embedding_type", None) not in (None, "absolute"):
        raise BackboneError(f"position embeddings {config.position_embedding_type!r} are not supported; use absolute")
    if config.hidden_act != "gelu":
        raise BackboneError(f"activation {config.hidden_act!r} is not supported; supported: gelu")


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
    """The checkpoint with a head for the recipe's task, newly initialised where the checkpoint has none."""
    config = load_config(recipe, label_names)
    kind: Any = (
        AutoModelForQuestionAnswering if recipe.model.problem_type == "span_qa" else AutoModelForSequenceClassification
    )
    model: PreTrainedModel = kind.from_pretrained(
        locate(recipe.model.backbone),
        config=config,
        revision=recipe.model.backbone_revision,
        ignore_mismatched_sizes=True,
    )
    return model


def load_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """The checkpoint's fast tokenizer. Raises BackboneError when there is none."""
    tokenizer = AutoTokenizer.from_pretrained(locate(recipe.model.backbone), revision=recipe.model.backbone_revision)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise BackboneError(f"backbone {recipe.model.backbone!r} has no tokenizer.json; a fast tokenizer is needed")
    return tokenizer
