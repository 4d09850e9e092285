"""New texts from parts of training texts."""

import random
import re

from intbert.builder.variations import WORDS_MAX, vary
from tests.builder.conftest import BAD, FILLERS, GOOD

PHRASES = ("the film", "the long film", "was fine", "was awful", "was a lovely tale", "a dull tale", "in the end")


def sentences(count: int) -> list[str]:
    """Sentences of phrases, and the phrases."""
    rng = random.Random(4)
    return [*PHRASES, *(" ".join(rng.choices(PHRASES, k=3)) for _ in range(count))]


def test_variations_are_new_and_distinct() -> None:
    """As many as asked for, none known, none twice, none too long, of the words there are."""
    texts = sentences(60)
    found = vary(texts, 200)
    assert len(found) == len(set(found)) == 200
    assert not set(found) & set(texts)
    assert max(len(text.split()) for text in found) <= WORDS_MAX
    assert {word for text in found for word in text.split()} <= {word for text in texts for word in text.split()}


def test_variations_are_put_together_from_phrases() -> None:
    """What is exchanged is a phrase for a phrase: each variation can be read as a row of them."""
    row_of_phrases = re.compile(f"(?:(?:{'|'.join(PHRASES)})(?: |$))+")
    assert all(row_of_phrases.fullmatch(text) for text in vary(sentences(20), 60))


def test_same_texts_give_the_same_variations() -> None:
    """In whatever order and spacing they come; other texts give others."""
    texts = sentences(40)
    shuffled = [f" {text} ".replace(" ", "  ") for text in reversed(texts)]
    assert vary(texts, 50) == vary(shuffled, 50)
    assert vary(texts, 50) != vary(sentences(41), 50)


def test_texts_without_parts_give_none() -> None:
    """No text in another, or all too short: the search ends."""
    assert vary([" ".join((*GOOD, *FILLERS[:3]))], 5) == []
    assert vary([*GOOD, *BAD], 5) == []
    assert vary([], 5) == []
