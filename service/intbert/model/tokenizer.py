"""Text to token ids, over the tokenizers library. Offsets count code points of the text as it was sent."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from intbert.errors import InputError, TensorError


@dataclass(frozen=True, kw_only=True)
class TextTokens:
    """One text without special tokens."""

    token_ids: NDArray[np.int32]  # (tokens,)
    offsets: NDArray[np.int32]  # (tokens, 2) code points, end excluded


@dataclass(frozen=True, kw_only=True)
class EncodedInput:
    """One text or pair as the model reads it, special tokens included."""

    token_ids: NDArray[np.int32]  # (tokens,)
    type_ids: NDArray[np.int32]  # (tokens,)
    tokens_dropped: int = 0

    @property
    def tokens(self) -> int:
        return int(self.token_ids.size)


@dataclass(frozen=True, kw_only=True)
class PairLayout:
    """The special tokens around a pair, and the type ids of everything up to the middle and after it."""

    prefix: tuple[int, ...]
    middle: tuple[int, ...]
    suffix: tuple[int, ...]
    first_type: int
    second_type: int


class Tokenizer:
    """Immutable after construction and thread-safe. What the file says about truncation and padding is ignored.

    Text that spells a special token ("[SEP]") is ordinary text: a client can't forge the model's input structure.
    """

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        inner.no_truncation()
        inner.no_padding()
        inner.encode_special_tokens = True
        self._inner = inner
        self._single_specials = inner.num_special_tokens_to_add(is_pair=False)
        self._pair_specials = inner.num_special_tokens_to_add(is_pair=True)

    @classmethod
    def from_json(cls, content: bytes, *, where: str = "tokenizer.json") -> "Tokenizer":
        """From the content of a tokenizer.json. TensorError (code tokenizer_malformed) for anything else."""
        try:
            return cls(tokenizers.Tokenizer.from_buffer(content))
        # The library raises plain Exception for everything
        except Exception as error:
            raise TensorError(f"{where}: not a readable tokenizer.json: {error}", code="tokenizer_malformed") from error

    @property
    def vocabulary(self) -> int:
        """Number of token ids, added ones included."""
        return int(self._inner.get_vocab_size(with_added_tokens=True))

    def special_tokens(self, *, pair: bool) -> int:
        """How many special tokens frame one text or a pair."""
        return self._pair_specials if pair else self._single_specials

    def count(self, text: str, text_pair: str | None = None) -> int:
        """Tokens of a text or pair, special tokens included."""
        pieces = [text] if text_pair is None else [text, text_pair]
        return sum(len(self._encode(piece)) for piece in pieces) + self.special_tokens(pair=text_pair is not None)

    def encode(
        self, text: str, text_pair: str | None = None, *, limit_tokens: int, truncate: bool = False, field: str = "text"
    ) -> EncodedInput:
        """A text or pair with its special tokens, at most `limit_tokens` long.

        Too long is InputError `too_long` unless `truncate`: then tokens go from the end of the longer text first.
        A text of white space or without a token is InputError `empty_text`; `field` names the input in messages.
        """
        first = self._encode_visible(text, field)
        second = None if text_pair is None else self._encode_visible(text_pair, f"{field}_pair")
        room = limit_tokens - self.special_tokens(pair=second is not None)
        lengths = (len(first), 0 if second is None else len(second))
        dropped = max(0, sum(lengths) - room)
        if dropped and not truncate:
            whole = field if second is None else field.removesuffix(".text")  # of a pair both texts together
            raise InputError.too_long(tokens=sum(lengths) + limit_tokens - room, limit_tokens=limit_tokens, field=whole)
        if dropped:
            keep_first, keep_second = longest_first(*lengths, room)
            first.truncate(keep_first)
            if second is not None:
                second.truncate(keep_second)
        framed = self._inner.post_process(first, second)
        return EncodedInput(token_ids=_int32(framed.ids), type_ids=_int32(framed.type_ids), tokens_dropped=dropped)

    def text_tokens(self, text: str, *, field: str = "text") -> TextTokens:
        """One text without special tokens, with offsets; for windows over long documents."""
        encoding = self._encode_visible(text, field)
        offsets = with_marks(text, encoding.offsets)
        return TextTokens(token_ids=_int32(encoding.ids), offsets=_int32(offsets).reshape(-1, 2))

    def pair_layout(self) -> PairLayout:
        """Where special tokens stand around a pair; read off an encoded pair, so any BERT-like template works."""
        return self._pair_layout

    @cached_property
    def _pair_layout(self) -> PairLayout:
        framed = self._inner.encode("a", "b")
        ids, types, parts = framed.ids, framed.type_ids, framed.sequence_ids
        first, second = parts.index(0), parts.index(1)
        first_end, second_end = len(parts) - parts[::-1].index(0), len(parts) - parts[::-1].index(1)
        return PairLayout(
            prefix=tuple(ids[:first]),
            middle=tuple(ids[first_end:second]),
            suffix=tuple(ids[second_end:]),
            first_type=types[first],
            second_type=types[second],
        )

    def _encode_visible(self, text: str, field: str) -> Any:
        encoding = self._encode(text, field)
        if not len(encoding) or text.isspace():  # byte-level tokenizers have tokens for white space
            raise InputError.empty_text(field)
        return encoding

    def _encode(self, text: str, field: str = "text") -> Any:
        try:
            return self._inner.encode(text, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError) as error:
            raise InputError(
                f"{field} is not valid Unicode (a lone surrogate, perhaps); send well-formed text", code="invalid_text"
            ) from error


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Tokens to keep of two texts: taken away one by one from the longer, so the shorter keeps what it can."""
    if first + second <= room:
        return first, second
    shorter = min(first, second, room // 2)
    return (shorter, room - shorter) if first <= second else (room - shorter, shorter)


def with_marks(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Let each token reach over the marks (accents, variation selectors) behind it that the normaliser threw away.

    Otherwise an answer that ends there would lose the accent of its last letter.
    """
    starts = [start for start, _ in offsets[1:]] + [len(text)]
    reaching = []
    for (start, token_end), limit in zip(offsets, starts, strict=True):
        end = token_end
        while end < limit and unicodedata.category(text[end]) in ("Mn", "Me"):
            end += 1
        reaching.append((start, end))
    return reaching


def _int32(values: Any) -> NDArray[np.int32]:
    return np.asarray(values, dtype=np.int32)
