"""Questions of span QA from files in the format of SQuAD 1.1, and their training windows."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from intbert.builder.data import Source, decode, read_bytes
from intbert.builder.data_split import split_holdout
from intbert.builder.failure import DataError
from intbert.builder.features import Feature
from intbert.builder.recipe import Recipe, SpanSection
from intbert.errors import InputError
from intbert.runtime.squad import LabelledAnswer, LabelledQuestion, parse_squad

ENCODE_QUESTIONS = 512
NEARBY = 8  # paragraphs to either side


@dataclass(frozen=True, kw_only=True)
class QuestionSplits:
    """Questions of a recipe and where they came from."""

    train: tuple[LabelledQuestion, ...]
    holdout: tuple[LabelledQuestion, ...]  # other contexts than those of `train`
    train_mismatched: tuple[LabelledQuestion, ...]  # asked of a paragraph without the answer: they have none
    holdout_mismatched: tuple[LabelledQuestion, ...]  # each held-out question once, where such a paragraph was found
    dev: tuple[LabelledQuestion, ...]
    sources: Mapping[str, Source]


def load_questions(recipe: Recipe, data_root: Path, files: Sequence[str] | None = None) -> QuestionSplits:
    """Read and split the data of a span QA recipe. Raises DataError naming file and question.

    files: those of `data.train` whose questions are trained on; none: all. The same ones are held out.
    """
    sources: dict[str, Source] = {}
    groups: list[list[LabelledQuestion]] = []
    trained: list[bool] = []
    for name in recipe.data.train:
        paragraphs = _read_paragraphs(name, data_root, sources)
        groups.extend(paragraphs)
        trained.extend([files is None or name in files] * len(paragraphs))
    dev, dev_sources = load_report_questions(recipe, recipe.data.dev, data_root)
    check_unique([question for group in groups for question in group])
    places = range(len(_first(groups, recipe.data.train_examples_max)))
    kept, held = split_holdout(places, recipe.data.holdout_fraction, recipe.holdout_seed)
    kept = [place for place in kept if trained[place]]
    if not kept:
        raise DataError(
            f"no question is left to train on: those of {', '.join(files or recipe.data.train)} are held out, or come "
            "after data.train_examples_max"
        )
    return QuestionSplits(
        train=tuple(question for place in kept for question in groups[place]),
        holdout=tuple(question for place in held for question in groups[place]),
        train_mismatched=tuple(mismatched(groups, kept, recipe.span.mismatched_fraction, recipe.seed)),
        holdout_mismatched=tuple(mismatched(groups, held, 1.0, recipe.holdout_seed)),
        dev=dev,
        sources={**sources, **dev_sources},
    )


def mismatched(
    groups: Sequence[Sequence[LabelledQuestion]], places: Sequence[int], fraction: float, seed: int
) -> Iterator[LabelledQuestion]:
    """Some questions of the paragraphs at `places`, each with a context nearby that holds none of its answers.

    Neighbours in a file are of the same article as a rule: near enough that words alone don't tell. They have no
    answers, and ids that begin with "mismatched:". Drawn with the seed.
    """
    chance = random.Random(seed)
    for place in places:
        for question in groups[place]:
            if chance.random() >= fraction:
                continue
            near = [index for index in range(place - NEARBY, place + NEARBY + 1) if 0 <= index < len(groups)]
            contexts = [
                context
                for context in (groups[index][0].context for index in near if index != place)
                if not any(answer.text.lower() in context.lower() for answer in question.answers)
            ]
            if contexts:
                yield replace(question, id=f"mismatched:{question.id}", context=chance.choice(contexts), answers=())


def load_report_questions(
    recipe: Recipe, names: Sequence[str], data_root: Path
) -> tuple[tuple[LabelledQuestion, ...], dict[str, Source]]:
    """What is only reported on, at most `data.dev_examples_max`, and where it came from. Raises DataError."""
    sources: dict[str, Source] = {}
    questions = [
        question for name in names for group in _read_paragraphs(name, data_root, sources) for question in group
    ]
    return tuple(questions[: recipe.data.dev_examples_max]), sources


def check_unique(questions: Sequence[LabelledQuestion]) -> None:
    """Raise DataError when two questions share an id."""
    identifier, count = Counter(question.id for question in questions).most_common(1)[0]
    if count > 1:
        raise DataError(f"question id {identifier!r} occurs {count} times in the training files; ids must be unique")


def _first(groups: Sequence[list[LabelledQuestion]], count: int | None) -> list[list[LabelledQuestion]]:
    """The first groups with together at least `count` questions."""
    if count is None:
        return list(groups)
    chosen: list[list[LabelledQuestion]] = []
    for group in groups:
        if sum(map(len, chosen)) >= count:
            break
        chosen.append(group)
    return chosen


def _read_paragraphs(name: str, data_root: Path, sources: dict[str, Source]) -> list[list[LabelledQuestion]]:
    """The questions of one file, grouped by paragraph."""
    path = data_root / name
    content = read_bytes(path)
    try:
        groups = parse_squad(decode(content, str(path)), str(path))
    except InputError as error:
        raise DataError(error.message) from error
    sources[name] = Source(sha256=hashlib.sha256(content).hexdigest(), rows=sum(map(len, groups)))
    return groups


def most_common_answer(question: LabelledQuestion) -> LabelledAnswer | None:
    """What training aims at: the answer given most often, the first of several; None of a mismatched question."""
    return Counter(question.answers).most_common(1)[0][0] if question.answers else None


def window_features(
    questions: Sequence[LabelledQuestion], tokenizer: PreTrainedTokenizerFast, span: SpanSection
) -> list[Feature]:
    """Training windows: input_ids, token_type_ids, attention_mask (tokens,), start_positions and end_positions.

    A window that does not hold the whole answer, or whose question has none, points at its first token: the model
    learns to score it low.
    """
    features: list[Feature] = []
    for first in range(0, len(questions), ENCODE_QUESTIONS):
        part = questions[first : first + ENCODE_QUESTIONS]
        encoded = tokenizer(
            [cut_question(question.text, tokenizer, span.question_tokens_max) for question in part],
            [question.context for question in part],
            truncation="only_second",
            max_length=span.window_tokens,
            stride=span.overlap_tokens,
            return_overflowing_tokens=True,
            return_token_type_ids=True,
            return_offsets_mapping=True,
        )
        for index, owner in enumerate(encoded["overflow_to_sample_mapping"]):
            start, end = answer_tokens(
                most_common_answer(part[owner]), encoded["offset_mapping"][index], encoded.sequence_ids(index)
            )
            features.append(
                {
                    **{name: encoded[name][index] for name in ("input_ids", "token_type_ids", "attention_mask")},
                    "start_positions": start,
                    "end_positions": end,
                }
            )
    return features


def cut_question(text: str, tokenizer: PreTrainedTokenizerFast, tokens_max: int) -> str:
    """The question's text up to its `tokens_max`-th token."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text if len(offsets) <= tokens_max else text[: offsets[tokens_max - 1][1]]


def answer_tokens(
    answer: LabelledAnswer | None, offsets: Sequence[tuple[int, int]], sequence_ids: Sequence[int | None]
) -> tuple[int, int]:
    """First and last token of the answer in a window, (0, 0) when there is none or the window does not hold all of it.

    offsets: code points of each token in its own text; sequence_ids: 1 for the context's tokens.
    """
    if answer is None:
        return 0, 0
    context = [index for index, owner in enumerate(sequence_ids) if owner == 1]
    stop = answer.start + len(answer.text)
    if not context or offsets[context[0]][0] > answer.start or offsets[context[-1]][1] < stop:
        return 0, 0
    start = max(index for index in context if offsets[index][0] <= answer.start)
    end = min(index for index in context if offsets[index][1] >= stop)
    return (start, end) if start <= end else (0, 0)
