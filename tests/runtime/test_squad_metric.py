"""Exact match and F1, on cases worked out by hand from the definition."""

import pytest

from intbert.runtime.squad_metric import exact_match, f1, normalise


def test_normalisation_drops_case_punctuation_articles_and_spaces() -> None:
    """But not an article inside a word, nor punctuation beyond ASCII."""
    assert normalise("The  Theatre, an  Anteater — a U.S. thing!") == "theatre anteater — us thing"


def test_an_answer_matches_any_of_the_references() -> None:
    """After normalisation."""
    assert exact_match("the Denver Broncos.", ["Broncos", "Denver Broncos"]) == 1.0
    assert exact_match("Denver", ["Broncos", "Denver Broncos"]) == 0.0


@pytest.mark.parametrize(
    ("prediction", "references", "expected"),
    [
        ("Denver", ["Denver Broncos"], 2 / 3),
        ("cat cat dog", ["cat dog dog"], 2 / 3),
        ("nothing", ["Denver Broncos"], 0.0),
        ("Denver Broncos", ["x", "the Denver Broncos"], 1.0),
    ],
)
def test_f1_is_the_best_overlap_of_words(prediction: str, references: list[str], expected: float) -> None:
    """Harmonic mean of precision and recall over the words, each counted as often as it occurs."""
    assert f1(prediction, references) == pytest.approx(expected)
