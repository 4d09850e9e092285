"""Training questions with less context: a random part of it around the answer, which so stands in new places."""

import random
from collections.abc import Sequence
from dataclasses import replace

from intbert.builder.data_qa import most_common_answer
from intbert.runtime.squad import LabelledQuestion

KEPT_LEAST, KEPT_MOST = 0.25, 0.75  # share of the context's characters


def crop_contexts(questions: Sequence[LabelledQuestion], fraction: float, seed: int) -> list[LabelledQuestion]:
    """The questions in their order; about `fraction` of them keep only a random part of the context, answer included.

    Parts begin and end at spaces. The answer is the one that training aims at; a question without one stays as it is.
    Drawn with the seed.
    """
    chance = random.Random(seed)
    return [_cropped(question, chance) if chance.random() < fraction else question for question in questions]


def _cropped(question: LabelledQuestion, chance: random.Random) -> LabelledQuestion:
    answer = most_common_answer(question)
    if answer is None:
        return question
    context, stop = question.context, answer.start + len(answer.text)
    kept = max(len(answer.text), round(chance.uniform(KEPT_LEAST, KEPT_MOST) * len(context)))
    first = chance.randint(max(0, stop - kept), min(answer.start, len(context) - kept))
    begin = context.rfind(" ", 0, first + 1) + 1
    end = context.find(" ", max(stop, first + kept))
    end = len(context) if end < 0 else end
    return replace(question, context=context[begin:end], answers=(replace(answer, start=answer.start - begin),))
