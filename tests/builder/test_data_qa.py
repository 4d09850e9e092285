"""Reading questions and cutting windows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from intbert.builder.data_qa import cut_question, load_questions, mismatched, most_common_answer, window_features
from intbert.builder.failure import DataError
from intbert.builder.recipe import Recipe, SpanSection
from intbert.builder.recipe_file import parse_recipe
from intbert.runtime.squad import LabelledAnswer, LabelledQuestion

CONTEXT = "the film was great . the cat is fine ."


def recipe(train: Sequence[str] = ("t.json",)) -> Recipe:
    """A span QA recipe for the training files and d.json."""
    data = {"format": "squad", "train": list(train), "dev": ["d.json"], "holdout_fraction": 0.5}
    return parse_recipe({"model": {"name": "m", "backbone": "b", "problem_type": "span_qa"}, "data": data}, "test")


def paragraph(identity: str, answers: list[tuple[str, int]], context: str = CONTEXT) -> dict[str, Any]:
    """One paragraph with one question."""
    listed = [{"text": text, "answer_start": start} for text, start in answers]
    return {"context": context, "qas": [{"id": identity, "question": "where is the cat ?", "answers": listed}]}


def write(folder: Path, paragraphs: list[dict[str, Any]]) -> None:
    """The paragraphs as t.json, and one good paragraph as d.json."""
    for name, content in (("t.json", paragraphs), ("d.json", [paragraph("dev", [("fine", 32)])])):
        document = {"version": "1.1", "data": [{"title": "x", "paragraphs": content}]}
        (folder / name).write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> PreTrainedTokenizerFast:
    """The tiny tokenizer."""
    loaded = AutoTokenizer.from_pretrained(checkpoint)
    assert isinstance(loaded, PreTrainedTokenizerFast)
    return loaded


def test_questions_are_read_and_split_by_paragraph(tmp_path: Path) -> None:
    """Half of the paragraphs are held out; dev questions stay apart."""
    write(tmp_path, [paragraph(f"q{index}", [("great", 13)]) for index in range(4)])
    splits = load_questions(recipe(), tmp_path)
    assert (len(splits.train), len(splits.holdout), len(splits.dev)) == (2, 2, 1)
    assert splits.sources["t.json"].rows == 4


def test_some_files_can_be_trained_on_alone(tmp_path: Path) -> None:
    """What is held out comes from all files, whichever are trained on."""
    write(tmp_path, [paragraph(f"q{index}", [("great", 13)]) for index in range(4)])
    (tmp_path / "u.json").write_text((tmp_path / "t.json").read_text("utf-8").replace('"id": "q', '"id": "u'), "utf-8")
    two = recipe(train=["t.json", "u.json"])
    every, some = load_questions(two, tmp_path), load_questions(two, tmp_path, ("u.json",))
    assert some.holdout == every.holdout
    assert some.train == tuple(question for question in every.train if question.id.startswith("u")) != ()
    assert len(some.train) < len(every.train)
    few = two.model_copy(update={"data": two.data.model_copy(update={"train_examples_max": 2})})
    with pytest.raises(DataError, match=r"those of u\.json are held out, or come after data\.train_examples_max"):
        load_questions(few, tmp_path, ("u.json",))


@pytest.mark.parametrize(
    ("paragraphs", "expected"),
    [
        ([paragraph("q7", [("great", 14)])], "question 'q7': answer 'great' is not at offset 14; there is 'reat '"),
        ([paragraph("q7", [("great", -1)])], "question 'q7'"),
        ([paragraph("q7", [])], "question 'q7': no answer"),
        ([paragraph("q7", [("great", 13)]), paragraph("q7", [("great", 13)])], "'q7' occurs 2 times"),
        ([{"context": "x"}], "missing or misplaced 'qas'"),
        ([], "has no questions"),
    ],
)
def test_bad_files_name_the_question(tmp_path: Path, paragraphs: list[dict[str, Any]], expected: str) -> None:
    """What is wrong is named with the question's id."""
    write(tmp_path, paragraphs)
    with pytest.raises(DataError) as caught:
        load_questions(recipe(), tmp_path)
    assert expected in str(caught.value)


def test_most_common_answer() -> None:
    """The answer given most often is trained, the first of several."""
    answers = tuple(LabelledAnswer(text=text, start=0) for text in ("a", "b", "b", "c"))
    question = LabelledQuestion(id="x", text="?", context="", answers=answers)
    assert most_common_answer(question) == LabelledAnswer(text="b", start=0)


def test_windows_hold_the_answer(tokenizer: PreTrainedTokenizerFast) -> None:
    """Positions decode to the answer in every window that holds it; others point at the first token; none is lost."""
    context = "the film was a story . " * 12 + "the cat is lovely . " + "the plot was dull . " * 12
    question = LabelledQuestion(
        id="x",
        text="where is the cat ?",
        context=context,
        answers=(LabelledAnswer(text="lovely", start=context.index("lovely")),),
    )
    span = SpanSection(window_tokens=32, overlap_tokens=8, question_tokens_max=12)
    features = window_features([question], tokenizer, span)
    assert len(features) > 4
    holding = [feature for feature in features if feature["start_positions"] > 0]
    assert holding
    for feature in features:
        assert len(feature["input_ids"]) <= 32
        words = tokenizer.decode(feature["input_ids"][feature["start_positions"] : feature["end_positions"] + 1])
        assert words == ("lovely" if feature in holding else "[CLS]")


def test_long_questions_are_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    """A question keeps its first tokens; a short one stays as it is."""
    assert cut_question("where is the cat ?", tokenizer, 3) == "where is the"
    assert cut_question("where is the cat ?", tokenizer, 5) == "where is the cat ?"


def groups_of(count: int) -> list[list[LabelledQuestion]]:
    """Paragraphs with two questions each, answered by the paragraph's own word; every third one holds "common", too."""
    made = []
    for number in range(count):
        context = f"here is word{number} and {'Common' if number % 3 == 0 else 'more'}"
        made.append(
            [
                LabelledQuestion(
                    id=f"{number}-{kind}",
                    text="which word ?",
                    context=context,
                    answers=(LabelledAnswer(text=text, start=0),),
                )
                for kind, text in (("own", f"word{number}"), ("shared", "common"))
            ]
        )
    return made


def test_mismatched_contexts_are_near_and_hold_no_answer() -> None:
    """Each question once, of a neighbouring paragraph in which none of its answers stands, whatever the case."""
    groups = groups_of(60)
    made = list(mismatched(groups, range(60), 1.0, seed=4))
    assert len(made) == 120
    for item in made:
        number, kind = item.id.removeprefix("mismatched:").split("-")
        place = next(index for index, group in enumerate(groups) if group[0].context == item.context)
        assert place != int(number)
        assert abs(place - int(number)) <= 8
        assert not item.answers
        if kind == "shared":
            assert place % 3
    assert made == list(mismatched(groups, range(60), 1.0, seed=4))
    assert made != list(mismatched(groups, range(60), 1.0, seed=5))


def test_a_fraction_of_the_questions_is_mismatched() -> None:
    """About the share that was asked for; none by default, and none where every context holds the answer."""
    groups = groups_of(400)
    assert 120 < len(list(mismatched(groups, range(400), 0.2, seed=1))) < 200
    assert not list(mismatched(groups, range(400), 0.0, seed=1))
    same = [[group[0]] for group in [groups[0]] * 5]
    assert not list(mismatched(same, range(5), 1.0, seed=1))


def test_mismatched_questions_point_at_the_first_token(tokenizer: PreTrainedTokenizerFast) -> None:
    """A question without answers has (0, 0) in every window."""
    question = LabelledQuestion(id="x", text="where is the cat ?", context=CONTEXT, answers=())
    features = window_features(
        [question], tokenizer, SpanSection(window_tokens=32, overlap_tokens=8, question_tokens_max=12)
    )
    assert [(item["start_positions"], item["end_positions"]) for item in features] == [(0, 0)] * len(features)


def test_held_out_questions_come_mismatched_too(tmp_path: Path) -> None:
    """Training has none unless the recipe wants some; held-out questions are all asked once more."""
    words = ("great", "lovely", "dull", "weak")
    write(tmp_path, [paragraph(f"q{w}", [(w, 13)], f"the film was {w} . the end .") for w in words])
    splits = load_questions(recipe(), tmp_path)
    assert not splits.train_mismatched
    assert {item.id for item in splits.holdout_mismatched} == {f"mismatched:{item.id}" for item in splits.holdout}
