"""Embedding sums (docs/arithmetic.md, section 6)."""

from intbert.arithmetic.fixed import Int, int64
from intbert.arithmetic.program import Embedding


def embed(token_ids: Int, type_ids: Int, position_ids: Int, embedding: Embedding) -> Int:
    """(6.1) h = word[id] * word_multiplier[id] + ((position[p] + token_type[t]) << position_shift).

    Ids: (tokens,). Result (tokens, channels), within sum22 by the bound proved at export: nothing saturates.
    """
    word = int64(embedding.word[token_ids]) * int64(embedding.word_multiplier[token_ids])[:, None]
    place = int64(embedding.position[position_ids]) + int64(embedding.token_type[type_ids])
    return word + (place << embedding.position_shift)
