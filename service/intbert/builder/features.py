"""Examples to model inputs: tokenised features, and padding into batches of few different shapes."""

from collections.abc import Sequence
from typing import Any

from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast

from intbert.builder.recipe import ProblemType
from intbert.runtime.examples import LabelledText

Feature = dict[str, Any]
TOKENISE_TEXTS = 4096


def classification_features(
    examples: Sequence[LabelledText],
    tokenizer: PreTrainedTokenizerFast,
    *,
    problem_type: ProblemType,
    label_count: int,
    tokens_max: int,
) -> list[Feature]:
    """One feature an example: input_ids, token_type_ids, attention_mask (tokens,) and labels; cut to `tokens_max`."""
    pairs = None if not examples or examples[0].text_pair is None else [example.text_pair for example in examples]
    features = text_features([example.text for example in examples], pairs, tokenizer, tokens_max=tokens_max)
    return [
        {**feature, "labels": _target(example.label, problem_type, label_count)}
        for feature, example in zip(features, examples, strict=True)
    ]


def text_features(
    texts: Sequence[str],
    pairs: Sequence[str | None] | None,
    tokenizer: PreTrainedTokenizerFast,
    *,
    tokens_max: int,
) -> list[Feature]:
    """As `classification_features`, without labels."""
    features: list[Feature] = []
    for start in range(0, len(texts), TOKENISE_TEXTS):
        part = slice(start, start + TOKENISE_TEXTS)
        encoded = tokenizer(
            list(texts[part]),
            None if pairs is None else list(pairs[part]),
            truncation=True,
            max_length=tokens_max,
            return_token_type_ids=True,
        )
        features += [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
    return features


def _target(label: int | tuple[int, ...] | float, problem_type: ProblemType, label_count: int) -> Any:
    """What the loss of transformers expects: an index, a score, or a float for every label."""
    if isinstance(label, tuple):
        return [float(number in label) for number in range(label_count)]
    return float(label) if problem_type == "regression" else label


def padding_collator(tokenizer: PreTrainedTokenizerFast, pad_multiple: int) -> DataCollatorWithPadding:
    """Pads to the longest of the batch, rounded up: every new length costs a CPU a compiled primitive and memory."""
    return DataCollatorWithPadding(tokenizer, pad_to_multiple_of=pad_multiple)
