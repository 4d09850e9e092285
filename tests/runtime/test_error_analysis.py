"""Groups of examples, and the errors that are shown."""

import json
from pathlib import Path

import numpy as np
import pytest

from intbert.model.package import Package
from intbert.runtime.error_analysis import error_analysis, shortened
from intbert.runtime.evaluate import Evaluation, evaluate
from intbert.runtime.evaluate_spans import evaluate_spans
from intbert.runtime.examples import LabelledText
from intbert.runtime.groups import Group, answer_length, length_groups, question_groups, question_type, text_groups
from intbert.runtime.labelled import Examples, evaluate_labelled
from intbert.runtime.squad import LabelledAnswer, LabelledQuestion
from tests.model.packages import WORDS, make_package

CONTEXT = "the actor is great . " * 20 + "who made it ? a good film"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return make_package(tmp_path_factory.mktemp("store"))


def texts(count: int = 40) -> list[LabelledText]:
    """Of growing lengths, labels in turn; one in five says "not"."""
    return [LabelledText(text=" ".join(WORDS[i % 5].split() * (1 + i // 10)), label=i % 2) for i in range(count)]


def questions() -> list[LabelledQuestion]:
    """A short context and a long one."""
    return [
        LabelledQuestion(
            id="1", text="who made it ?", context="who made it", answers=(LabelledAnswer(text="it", start=9),)
        ),
        LabelledQuestion(
            id="2",
            text="is it good ?",
            context=CONTEXT,
            answers=(LabelledAnswer(text="a good film", start=CONTEXT.index("a good film")),),
        ),
    ]


def pair_of(package: Package, examples: Examples) -> tuple[Evaluation, Evaluation]:
    """int8 and FP32."""
    ours, theirs = (evaluate_labelled(package, name, examples) for name in ("int8", "fp32"))
    return ours, theirs


def sizes(groups: list[Group], by: str) -> dict[str, int]:
    """Of one partition."""
    return {group.name: len(group.members) for group in groups if group.by == by}


def test_texts_are_grouped(package: Package) -> None:
    """By quarters of their length, negation and expected label, each text once in every partition."""
    examples = texts()
    found = evaluate(package, "int8", examples)
    groups = text_groups(examples, found.tokens, package.manifest)
    for by in ("length", "negation", "label"):
        assert sum(sizes(groups, by).values()) == len(examples)
    assert sizes(groups, "negation") == {"found": 8, "none": 32}
    assert sizes(groups, "label") == {"label0": 20, "label1": 20}
    assert len(sizes(groups, "length")) == 4


def test_texts_of_one_length_are_one_group() -> None:
    """No quarter is empty, and its name says what is in it."""
    assert sizes(length_groups(np.full(9, 7)), "length") == {"7 tokens": 9}
    found = length_groups(np.array([3, 3, 3, 3, 3, 3, 9, 12]))
    assert sizes(found, "length") == {"3 tokens": 6, "9 to 12 tokens": 2}


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("It isn't good", True),
        ("is n't good", True),
        ("it isn’t", True),
        ("NOT bad", True),
        ("without end", True),
        ("a knot, a note, nowadays", False),
        ("nonetheless fine", False),
    ],
)
def test_negation_is_a_word(package: Package, text: str, negated: bool) -> None:
    """Contracted or not, as GLUE splits it or not; never a part of another word. A pair counts with either text."""
    for item in (LabelledText(text=text, label=0), LabelledText(text="a film", text_pair=text, label=0)):
        groups = text_groups([item], np.array([5]), package.manifest)
        assert sizes(groups, "negation") == {"found" if negated else "none": 1}


def test_several_labels_are_several_groups(tmp_path: Path) -> None:
    """A text is in the group of each of its labels; scores have no labels."""
    several = make_package(tmp_path, problem_type="multi_label_classification", labels=3)
    examples = [LabelledText(text=text, label=label) for text, label in zip(WORDS, [(0, 2), (), (2,)], strict=False)]
    ours, theirs = pair_of(several, examples)
    found = error_analysis(examples, ours, theirs, several.manifest)
    assert [(row["name"], row["examples"]) for row in found["groups"] if row["by"] == "label"] == [
        ("label0", 1),
        ("label2", 2),
    ]
    assert all(error["expected"] in ("label0, label2", "none", "label2") for error in found["errors"])
    scored = make_package(tmp_path / "scores", problem_type="regression", labels=1)
    numbers = [LabelledText(text=text, label=float(index)) for index, text in enumerate(WORDS)]
    found = error_analysis(numbers, *pair_of(scored, numbers), scored.manifest)
    assert (found["metric"], found["errors"]) == ("pearson", [])
    assert {row["by"] for row in found["groups"]} == {"length", "negation"}


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("In which year did it end?", "which"),
        ("Whose cat is it?", "who"),
        ("To whom was it sold?", "who"),
        ("How many cats are there?", "how many or much"),
        ("How MUCH is it?", "how many or much"),
        ("How did it end?", "how"),
        ("Name the cat, somewhat whole.", "other"),
        ("What happened when he left?", "what"),
    ],
)
def test_question_types(question: str, name: str) -> None:
    """The first question word decides, wherever it stands, as a whole word."""
    assert question_type(question) == name


@pytest.mark.parametrize(
    ("words", "name"), [(1, "1 word"), (2, "2 or 3 words"), (7, "4 to 7 words"), (8, "8 words or more")]
)
def test_answer_lengths(words: int, name: str) -> None:
    """By words; the bounds belong to the shorter group."""
    assert answer_length(" ".join(["cat"] * words)) == name


def test_questions_are_grouped() -> None:
    """By type, answer, and whether the context took one window."""
    groups = question_groups(questions(), np.array([1, 4]))
    assert sizes(groups, "question") == {"who": 1, "other": 1}
    assert sizes(groups, "answer") == {"1 word": 1, "2 or 3 words": 1}
    assert sizes(groups, "context") == {"one window": 1, "several windows": 1}


def test_errors_are_the_most_confident_ones(package: Package) -> None:
    """Only wrong ones, at most ten, by falling probability, with what both variants said; plain JSON."""
    examples = texts()
    ours, theirs = pair_of(package, examples)
    found = json.loads(json.dumps(error_analysis(examples, ours, theirs, package.manifest)))
    assert set(found) == {"metric", "groups", "errors"}
    for row in found["groups"]:
        assert set(row) == {"by", "name", "examples", "int8", "fp32"}
    wrong = int(ours.outcomes.wrong.sum())
    assert len(found["errors"]) == min(10, wrong) > 0
    assert all(error["int8"] != error["expected"] for error in found["errors"])
    shown = [error["probability"] for error in found["errors"]]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == pytest.approx(ours.outcomes.confidence[ours.outcomes.wrong].max(), abs=1e-6)


def test_errors_of_questions(tmp_path: Path) -> None:
    """Question, expected answer and both answers; only answers without a word of an expected one are errors."""
    spans = make_package(
        tmp_path,
        task="question-answering",
        gate={"metric": "f1", "allowed_drop": 1.0},
        card={"metrics": {"int8": {"f1": 1.0}, "fp32": {"f1": 1.0}}},
    )
    asked = questions()
    ours, theirs = (evaluate_spans(spans, name, asked) for name in ("int8", "fp32"))
    assert ours.windows.tolist()[0] == 1
    assert ours.windows.tolist()[1] > 1
    found = error_analysis(asked, ours, theirs, spans.manifest)
    assert found["metric"] == "f1"
    assert len(found["errors"]) == int((ours.outcomes.wrong).sum())
    for error in found["errors"]:
        assert set(error) == {"text", "expected", "int8", "fp32", "probability"}


def test_long_texts_are_shortened() -> None:
    """200 characters, with a sign that something is missing."""
    assert shortened("x" * 200) == "x" * 200
    assert shortened("x" * 201) == "x" * 199 + "…"
