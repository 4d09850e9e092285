"""A recipe's data, read and tokenised, in the shape that all stages share, whatever the task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from intbert.builder.data import Source, load_splits
from intbert.builder.data_qa import load_questions, window_features
from intbert.builder.features import Feature, classification_features
from intbert.builder.recipe import Recipe
from intbert.runtime.batch import TokenSequence
from intbert.runtime.examples import LabelledText
from intbert.runtime.squad import LabelledQuestion


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """Features to train on, examples to report on."""

    labels: tuple[str, ...]
    train: Sequence[Feature]
    holdout: Sequence[Feature]
    holdout_questions: Sequence[LabelledQuestion]  # of `holdout`, and mismatched ones; empty for classification
    dev_texts: Sequence[LabelledText]  # empty for span QA
    dev_questions: Sequence[LabelledQuestion]  # empty for classification
    dev_features: Sequence[Feature]  # as many as verification and error analysis need
    sources: Mapping[str, Source]

    def dev_sequences(self, count: int) -> list[TokenSequence]:
        """The first dev inputs as the engines read them."""
        return [TokenSequence.of(item["input_ids"], item["token_type_ids"]) for item in self.dev_features[:count]]


def prepare(recipe: Recipe, data_root: Path, tokenizer: PreTrainedTokenizerFast) -> PreparedData:
    """Read, check and tokenise. Raises DataError."""
    return (_prepare_questions if recipe.model.problem_type == "span_qa" else _prepare_texts)(
        recipe, data_root, tokenizer
    )


def _prepare_texts(recipe: Recipe, data_root: Path, tokenizer: PreTrainedTokenizerFast) -> PreparedData:
    splits = load_splits(recipe, data_root)

    def features(examples: Sequence[LabelledText]) -> list[Feature]:
        return classification_features(
            examples,
            tokenizer,
            problem_type=recipe.model.problem_type,
            label_count=len(splits.labels),
            tokens_max=recipe.finetune.tokens_max,
        )

    return PreparedData(
        labels=splits.labels,
        train=features(splits.train),
        holdout=features(splits.holdout),
        holdout_questions=(),
        dev_texts=splits.dev,
        dev_questions=(),
        dev_features=features(splits.dev[: _sequences_needed(recipe)]),
        sources=splits.sources,
    )


def _prepare_questions(recipe: Recipe, data_root: Path, tokenizer: PreTrainedTokenizerFast) -> PreparedData:
    splits = load_questions(recipe, data_root)
    return PreparedData(
        labels=(),
        train=window_features((*splits.train, *splits.train_mismatched), tokenizer, recipe.span),
        holdout=window_features(splits.holdout, tokenizer, recipe.span),
        holdout_questions=(*splits.holdout, *splits.holdout_mismatched),
        dev_texts=(),
        dev_questions=splits.dev,
        dev_features=window_features(splits.dev[: _sequences_needed(recipe)], tokenizer, recipe.span),
        sources=splits.sources,
    )


def _sequences_needed(recipe: Recipe) -> int:
    return max(recipe.report.verify_texts, recipe.report.error_texts)
