"""Less context around an answer."""

from hypothesis import given, settings
from hypothesis import strategies as st

from intbert.builder.crops import crop_contexts
from intbert.builder.data_qa import most_common_answer
from intbert.runtime.squad import LabelledAnswer, LabelledQuestion

WORDS = st.lists(st.text("abé", min_size=1, max_size=5), min_size=1, max_size=30)


def question(words: list[str], first: int, count: int) -> LabelledQuestion:
    """About the words; the answer is `count` of them."""
    answer = LabelledAnswer(
        text=" ".join(words[first : first + count]), start=len("".join(w + " " for w in words[:first]))
    )
    return LabelledQuestion(id="q", text="which ?", context=" ".join(words), answers=(answer,))


@settings(deadline=None)
@given(words=WORDS, data=st.data(), seed=st.integers(0, 9))
def test_the_answer_stays_at_its_offset_between_whole_words(words: list[str], data: st.DataObject, seed: int) -> None:
    """A crop is a run of whole words of the context, and holds the answer where its offset says."""
    first = data.draw(st.integers(0, len(words) - 1))
    asked = question(words, first, data.draw(st.integers(1, len(words) - first)))
    cropped = crop_contexts([asked], 0.999, seed)[0]
    (answer,) = cropped.answers
    assert cropped.context[answer.start :].startswith(answer.text)
    assert answer.text == asked.answers[0].text
    assert f" {cropped.context} " in f" {asked.context} "


def test_about_the_given_part_is_cropped_to_about_half() -> None:
    """By the seed, in order; the others are untouched."""
    asked = [question([f"w{index}" for index in range(100)], place % 100, 1) for place in range(400)]
    cropped = crop_contexts(asked, 0.25, 3)
    shorter = [
        len(ours.context) / len(theirs.context) for ours, theirs in zip(cropped, asked, strict=True) if ours != theirs
    ]
    assert 60 < len(shorter) < 140
    assert 0.4 < sum(shorter) / len(shorter) < 0.6
    assert cropped == crop_contexts(asked, 0.25, 3)
    assert cropped != crop_contexts(asked, 0.25, 4)
    assert crop_contexts(asked, 0.0, 3) == asked


def test_the_answer_kept_is_the_one_trained_for() -> None:
    """Of several answers the most common; a question without any is left alone."""
    words = [f"w{index}" for index in range(40)]
    base = question(words, 30, 1)
    asked = LabelledQuestion(
        id="q", text="which ?", context=base.context, answers=(LabelledAnswer(text="w1", start=3), *base.answers * 2)
    )
    (cropped,) = crop_contexts([asked], 0.999, 0)
    assert [answer.text for answer in cropped.answers] == ["w30"]
    assert most_common_answer(asked) == base.answers[0]
    without = LabelledQuestion(id="q", text="which ?", context=base.context, answers=())
    assert crop_contexts([without], 0.999, 0) == [without]
