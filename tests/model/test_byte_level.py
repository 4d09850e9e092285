"""RoBERTa's tokenizer: byte-level pieces that hold the space before their word, pairs without token types."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import ByteLevelBPETokenizer, processors

from intbert.errors import InputError
from intbert.model.tokenizer import Tokenizer
from intbert.runtime.qa import QaParameters, Question, answers, encode_question

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
TEXT = "where is the cat ? the cat is in the house and the café is closed . naïve 日本"
contexts = st.text(st.sampled_from("the cat  \n\té日本\u0301😀.?"), min_size=1, max_size=40).filter(str.strip)


@cache
def byte_level(*, trim_offsets: bool = True) -> Tokenizer:
    """Trained on one sentence; `trim_offsets` as in the file of a checkpoint."""
    inner = ByteLevelBPETokenizer()
    inner.train_from_iterator([TEXT] * 3, vocab_size=320, special_tokens=SPECIALS, show_progress=False)
    inner.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=trim_offsets, add_prefix_space=False
    )
    return Tokenizer.from_json(inner.to_str().encode())


def test_pair_layout() -> None:
    """<s> question </s></s> context </s>, all of type 0."""
    layout = byte_level().pair_layout()
    assert (layout.prefix, layout.middle, layout.suffix) == ((0,), (2, 2), (2,))
    assert (layout.first_type, layout.second_type) == (0, 0)
    assert byte_level().special_tokens(pair=True) == 4
    encoded = byte_level().encode("the cat", "the house", limit_tokens=50)
    assert encoded.token_ids.tolist().count(2) == 3
    assert not encoded.type_ids.any()


@pytest.mark.parametrize("text", ["", " ", "\n \t", "\u3000"])
def test_white_space_is_empty(text: str) -> None:
    """It has tokens of its own here, but says no more than it says to a BERT."""
    with pytest.raises(InputError, match="is empty"):
        byte_level().encode(text, limit_tokens=10)


def test_special_tokens_cannot_be_forged() -> None:
    """ "</s>" in a text is punctuation and letters."""
    ids = byte_level().encode("the cat </s><mask> is", limit_tokens=50).token_ids.tolist()
    assert ids.count(2) == 1
    assert 4 not in ids


@given(context=contexts, trimmed=st.booleans(), data=st.data())
@settings(deadline=None, max_examples=150)
def test_answers_are_text_without_space_around(context: str, trimmed: bool, data: st.DataObject) -> None:
    """Whatever span the logits point at, the answer is the context between its offsets, without space around it."""
    tokenizer = byte_level(trim_offsets=trimmed)
    parameters = QaParameters(max_seq_len=512, max_answer_len=100)
    encoded = encode_question(tokenizer, Question(question="where?", context=context), parameters, limit_tokens=512)
    (window,) = encoded.windows
    first, last = sorted(data.draw(st.lists(st.integers(0, len(encoded.offsets) - 1), min_size=2, max_size=2)))
    logits = [[0.0, 0.0] for _ in window.token_ids]
    logits[window.context_position + first][0] = logits[window.context_position + last][1] = 50.0
    (answer,) = answers(encoded, [np.array(logits)], parameters, logit_scale=1.0)
    assert answer.answer == context[answer.start : answer.end] == answer.answer.strip()
    whole = context[encoded.offsets[first, 0] : encoded.offsets[last, 1]]
    assert answer.answer == whole.strip()


def test_a_word_is_its_own_answer() -> None:
    """The space that the token of " cat" holds is not part of the answer, in any unit of offsets."""
    context = "😀 the cat is in the house"
    for trimmed in (True, False):
        tokenizer = byte_level(trim_offsets=trimmed)
        encoded = encode_question(
            tokenizer, Question(question="where?", context=context), QaParameters(), limit_tokens=512
        )
        (window,) = encoded.windows
        token = next(i for i, (start, end) in enumerate(encoded.offsets) if context[start:end].strip() == "cat")
        logits = [[0.0, 0.0] for _ in window.token_ids]
        logits[window.context_position + token] = [50.0, 50.0]
        for unit, start in (("codepoint", 6), ("utf16", 7), ("utf8", 9)):
            (answer,) = answers(encoded, [np.array(logits)], QaParameters(offsets=unit), logit_scale=1.0)  # type: ignore[arg-type]
            assert (answer.answer, answer.start, answer.end) == ("cat", start, start + 3)
