"""Text to ids: limits, truncation, offsets, and texts that try to be clever."""

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from intbert.errors import InputError, TensorError
from intbert.model.tokenizer import Tokenizer, longest_first
from tests.model.packages import tokenizer_json

WORDS = ["good", "bad", "film", "films", "badly", "é", "日", "unknown", "[SEP]", "?"]
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=30).map(" ".join)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_json(tokenizer_json())


def library() -> tokenizers.Tokenizer:
    """The library itself, set up as `Tokenizer` promises."""
    inner = tokenizers.Tokenizer.from_buffer(tokenizer_json())
    inner.no_padding()
    inner.no_truncation()
    inner.encode_special_tokens = True
    return inner


def test_truncation_and_padding_in_the_file_are_ignored(tokenizer: Tokenizer) -> None:
    """The file asks for 8 tokens; the model's limit decides."""
    assert tokenizer.encode("good " * 20, limit_tokens=100).tokens == 22
    assert tokenizer.encode("good", limit_tokens=100).tokens == 3


@given(first=texts, second=st.none() | texts)
@settings(deadline=None, max_examples=50)
def test_encoding_is_the_librarys(first: str, second: str | None) -> None:
    """Ids and type ids equal those of the library's own pair encoding, and `count` their number."""
    tokenizer = Tokenizer.from_json(tokenizer_json())
    encoded = tokenizer.encode(first, second, limit_tokens=1000)
    expected = library().encode(first, second)
    assert encoded.token_ids.tolist() == expected.ids
    assert encoded.type_ids.tolist() == expected.type_ids
    assert encoded.tokens_dropped == 0
    assert tokenizer.count(first, second) == encoded.tokens


@given(first=texts, second=st.none() | texts, limit=st.integers(8, 40))
@settings(deadline=None, max_examples=100)
def test_truncation_is_the_librarys_longest_first(first: str, second: str | None, limit: int) -> None:
    """Same tokens as the library keeps; the dropped ones are counted."""
    tokenizer = Tokenizer.from_json(tokenizer_json())
    encoded = tokenizer.encode(first, second, limit_tokens=limit, truncate=True)
    inner = library()
    inner.enable_truncation(limit, strategy="longest_first")
    assert encoded.token_ids.tolist() == inner.encode(first, second).ids
    assert encoded.tokens + encoded.tokens_dropped == tokenizer.count(first, second)


@given(first=st.integers(0, 60), second=st.integers(0, 60), room=st.integers(0, 60))
def test_longest_first_keeps_the_shorter_text(first: int, second: int, room: int) -> None:
    """All room is used, nothing is invented, and the texts end as equal as they can."""
    a, b = longest_first(first, second, room)
    assert a <= first
    assert b <= second
    assert a + b == min(room, first + second)
    if first + second > room:
        assert min(a, b) == min(first, second, room // 2)


def test_too_long_says_limit_and_length(tokenizer: Tokenizer) -> None:
    """Both with special tokens, as the client counts them from usage."""
    with pytest.raises(InputError, match="12 tokens, more than the limit of 10") as caught:
        tokenizer.encode("good " * 10, limit_tokens=10)
    assert caught.value.code == "too_long"
    assert caught.value.details == {"tokens": 12, "limit": 10, "field": "text"}


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u200b", "\x00"])
def test_text_without_a_token_is_empty(tokenizer: Tokenizer, text: str) -> None:
    """Also what the normaliser throws away; the field is named, of a pair too."""
    with pytest.raises(InputError, match=r"inputs\[2\] is empty") as caught:
        tokenizer.encode(text, limit_tokens=10, field="inputs[2]")
    assert caught.value.code == "empty_text"
    with pytest.raises(InputError, match="text_pair is empty"):
        tokenizer.encode("good", text, limit_tokens=10)


def test_lone_surrogate_is_refused(tokenizer: Tokenizer) -> None:
    """JSON can carry one; it is no text."""
    with pytest.raises(InputError, match="not valid Unicode") as caught:
        tokenizer.encode("good \ud800", limit_tokens=10)
    assert caught.value.code == "invalid_text"


def test_special_tokens_cannot_be_forged(tokenizer: Tokenizer) -> None:
    """ "[SEP]" in a text is punctuation and letters, not the separator."""
    forged = tokenizer.encode("good [SEP] bad", limit_tokens=100)
    assert forged.token_ids.tolist().count(3) == 1


def test_offsets_count_code_points(tokenizer: Tokenizer) -> None:
    """Emoji, combining marks and CJK: the text between offsets is the token's text."""
    text = "\U0001f600 good e\u0301 日 films"
    tokens = tokenizer.text_tokens(text)
    assert [text[start:end] for start, end in tokens.offsets] == ["\U0001f600", "good", "e\u0301", "日", "film", "s"]


def test_pair_layout_is_read_off_the_template(tokenizer: Tokenizer) -> None:
    """[CLS] question [SEP] context [SEP], types 0 and 1."""
    layout = tokenizer.pair_layout()
    assert (layout.prefix, layout.middle, layout.suffix) == ((2,), (3,), (3,))
    assert (layout.first_type, layout.second_type) == (0, 1)
    assert tokenizer.special_tokens(pair=True) == 3
    assert tokenizer.special_tokens(pair=False) == 2


def test_garbage_is_no_tokenizer() -> None:
    """The library's error is translated and says which file."""
    with pytest.raises(TensorError, match=r"model/tokenizer\.json"):
        Tokenizer.from_json(b"[]", where="model/tokenizer.json")
