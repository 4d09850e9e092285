"""A recipe's data, read and tokenised, in the shape that all stages share, whatever the task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from intbert.builder.crops import crop_contexts
from intbert.builder.data import Source, load_report_texts, load_splits
from intbert.builder.data_qa import load_questions, load_report_questions, window_features
from intbert.builder.features import Feature, classification_features, text_features
from intbert.builder.recipe import Recipe
from intbert.builder.variations import vary
from intbert.runtime.batch import TokenSequence
from intbert.runtime.examples import LabelledText
from intbert.runtime.labelled import Examples
from intbert.runtime.squad import LabelledQuestion


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """Features to train on, examples to report on."""

    labels: tuple[str, ...]
    train: Sequence[Feature]
    train_first: Sequence[
        Feature
    ]  # the first of `train`, which fine-tuning uses until weight averaging: without mismatched ones
    variations: Sequence[Feature]  # of texts in `train`, without labels, for the mentor
    holdout: Sequence[Feature]
    holdout_questions: Sequence[LabelledQuestion]  # of `holdout`, and mismatched ones; empty for classification
    dev: Examples
    dev_features: Sequence[Feature]  # as many as verification and layer errors need
    sources: Mapping[str, Source]  # of all that is above
    elsewhere: Mapping[str, "ReportSet"]  # by file, of other domains

    def dev_sequences(self, count: int) -> list[TokenSequence]:
        """The first dev inputs as the engines read them."""
        return [TokenSequence.of(item["input_ids"], item["token_type_ids"]) for item in self.dev_features[:count]]


@dataclass(frozen=True, kw_only=True)
class ReportSet:
    """Labelled examples that are only reported on, and their files."""

    examples: Examples
    sources: Mapping[str, Source]


def load_report_set(recipe: Recipe, names: Sequence[str], data_root: Path, labels: tuple[str, ...]) -> ReportSet:
    """Files (or hub splits) in the format of the recipe's data, as one set. Raises DataError."""
    if recipe.model.problem_type == "span_qa":
        questions, sources = load_report_questions(recipe, names, data_root)
        return ReportSet(examples=questions, sources=sources)
    texts, sources = load_report_texts(recipe, names, data_root, labels)
    return ReportSet(examples=texts, sources=sources)


def load_elsewhere(recipe: Recipe, data_root: Path, labels: tuple[str, ...]) -> dict[str, ReportSet]:
    """Each file of `report.elsewhere` by itself. Raises DataError."""
    return {name: load_report_set(recipe, (name,), data_root, labels) for name in recipe.report.elsewhere}


def prepare(recipe: Recipe, data_root: Path, tokenizer: PreTrainedTokenizerFast) -> PreparedData:
    """Read, check and tokenise. Raises DataError."""
    if recipe.model.problem_type == "span_qa":
        return prepare_questions(recipe, data_root, tokenizer)
    return _prepare_texts(recipe, data_root, tokenizer)


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

    train = features(splits.train)
    return PreparedData(
        labels=splits.labels,
        train=train,
        train_first=train,
        variations=_variations(recipe, splits.train, tokenizer),
        holdout=features(splits.holdout),
        holdout_questions=(),
        dev=splits.dev,
        dev_features=features(splits.dev[: _sequences_needed(recipe)]),
        sources=splits.sources,
        elsewhere=load_elsewhere(recipe, data_root, splits.labels),
    )


def prepare_questions(
    recipe: Recipe, data_root: Path, tokenizer: PreTrainedTokenizerFast, files: Sequence[str] | None = None
) -> PreparedData:
    """As `prepare`, of span QA; trained on are only questions of `files`, where given."""
    splits = load_questions(recipe, data_root, files)
    questions = crop_contexts(splits.train, recipe.span.crop_fraction, recipe.seed)
    train = window_features(questions, tokenizer, recipe.span)
    return PreparedData(
        labels=(),
        train=[*train, *window_features(splits.train_mismatched, tokenizer, recipe.span)],
        train_first=train,
        variations=(),
        holdout=window_features(splits.holdout, tokenizer, recipe.span),
        holdout_questions=(*splits.holdout, *splits.holdout_mismatched),
        dev=splits.dev,
        dev_features=window_features(splits.dev[: _sequences_needed(recipe)], tokenizer, recipe.span),
        sources=splits.sources,
        elsewhere=load_elsewhere(recipe, data_root, ()),
    )


def _variations(
    recipe: Recipe, examples: Sequence[LabelledText], tokenizer: PreTrainedTokenizerFast
) -> Sequence[Feature]:
    """As many as the mentor is to label."""
    if recipe.mentor is None or not recipe.mentor.variations:
        return ()
    texts = vary([example.text for example in examples], recipe.mentor.variations)
    return text_features(texts, None, tokenizer, tokens_max=recipe.finetune.tokens_max)


def _sequences_needed(recipe: Recipe) -> int:
    return max(recipe.report.verify_texts, recipe.report.error_texts)
