"""What of the training data is held out: to choose checkpoints on, and to calibrate scores."""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from intbert.runtime.examples import LabelledText

T = TypeVar("T")


def split_holdout(examples: Sequence[T], fraction: float, seed: int) -> tuple[list[T], list[T]]:
    """Training and held-out part; the same for the same seed and data, order kept."""
    count = round(len(examples) * fraction)
    held = set(random.Random(seed).sample(range(len(examples)), count))
    return (
        [example for index, example in enumerate(examples) if index not in held],
        [example for index, example in enumerate(examples) if index in held],
    )


def split_apart(
    examples: Sequence[LabelledText], fraction: float, seed: int
) -> tuple[list[LabelledText], list[LabelledText]]:
    """As `split_holdout`, but what is held out shares no text with what is trained on.

    SST-2's training examples are sentences and the phrases in them: a held-out phrase would say little about new
    sentences. Held out are texts that are no part of another one; examples that are a part of held-out texts alone, or
    repeat one, are in neither half.
    """
    texts = [" ".join(f"{example.text} {example.text_pair or ''}".split()) for example in examples]
    every = TextIndex(texts)
    held: dict[str, int] = {}
    for index in random.Random(seed).sample(range(len(texts)), len(texts)):
        if len(held) == round(len(examples) * fraction):
            break
        if every.around(texts[index]) == {texts[index]}:
            held.setdefault(texts[index], index)
    apart = TextIndex(list(held))

    def is_elsewhere(text: str) -> bool:
        return not apart.around(text) or any(not apart.around(other) for other in every.around(text))

    return (
        [example for example, text in zip(examples, texts, strict=True) if is_elsewhere(text)],
        [examples[index] for index in sorted(held.values())],
    )


class TextIndex:
    """Texts by their words, to find those that hold another text."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Words are separated by single spaces."""
        self._texts = texts
        self._places: defaultdict[str, list[int]] = defaultdict(list)
        for index, text in enumerate(texts):
            for word in set(text.split(" ")):
                self._places[word].append(index)

    def around(self, text: str) -> set[str]:
        """The texts in which `text` is a run of whole words, itself included."""
        rarest = min((self._places.get(word, []) for word in text.split(" ")), key=len)
        return {self._texts[index] for index in rarest if f" {text} " in f" {self._texts[index]} "}
