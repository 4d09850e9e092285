"""New texts from training texts, for a mentor to label: parts of one are exchanged for parts of others.

Where training texts are sentences and the phrases in them, as SST-2's are, a run of words that is itself a training
text is a constituent. Another one that begins with the same word is likely of the same kind ("of", "is", "the"), so
that most of what comes out reads like a sentence of the same domain, whose label only a model can tell. (TinyBERT,
Jiao et al. 2020, exchanges single words to the same end.)
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

SEED = 1  # one for all seeds of a recipe, so that they can share a mentor
WORDS_MIN = 6  # of a text that is varied
WORDS_MAX = 40  # of a variation
PART_OF_TEXT_MAX = 0.75  # of the words are exchanged at once
LENGTH_RATIO_MAX = 2  # between a part and what takes its place
PHRASE_WORDS = range(2, 7)  # of what takes the place of a single word
EXCHANGES = (1, 1, 2)  # how many, drawn from
TRIES_PER_TEXT = 50


def vary(texts: Sequence[str], count: int) -> list[str]:
    """`count` new texts, each once, the same for the same texts; fewer where the texts don't give so many."""
    known = {" ".join(text.split()) for text in texts}
    ordered = sorted(known)
    varied = [text for text in ordered if len(text.split()) >= WORDS_MIN]
    alike: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)  # by first word: texts, and how many words
    for text in ordered:
        words = text.split()
        alike[words[0]].append((text, len(words)))
    rng = random.Random(SEED)
    found: set[str] = set()
    for _ in range(TRIES_PER_TEXT * count if varied else 0):
        if len(found) == count:
            break
        words = rng.choice(varied).split()
        for _ in range(rng.choice(EXCHANGES)):
            words = _exchanged(words, known, alike, rng)
        text = " ".join(words)
        if text not in known and len(words) <= WORDS_MAX:
            found.add(text)
    variations = sorted(found)
    rng.shuffle(variations)
    return variations


def _exchanged(
    words: list[str], known: set[str], alike: Mapping[str, Sequence[tuple[str, int]]], rng: random.Random
) -> list[str]:
    """The words with one part exchanged; as they are where nothing fits."""
    parts = _parts(words, known)
    if not parts:
        return words
    start, end = rng.choice(parts)
    part, size = " ".join(words[start:end]), end - start
    if size == 1:
        fitting = [text for text, count in alike[words[start]] if count in PHRASE_WORDS]
    else:
        least, most = size / LENGTH_RATIO_MAX, size * LENGTH_RATIO_MAX
        fitting = [text for text, count in alike[words[start]] if least <= count <= most and text != part]
    return [*words[:start], *rng.choice(fitting).split(), *words[end:]] if fitting else words


def _parts(words: Sequence[str], known: set[str]) -> list[tuple[int, int]]:
    """Where runs of words (start, end) are texts themselves."""
    count = len(words)
    return [
        (start, end)
        for start in range(count)
        for end in range(start + 1, count + 1)
        if end - start < PART_OF_TEXT_MAX * count and " ".join(words[start:end]) in known
    ]
