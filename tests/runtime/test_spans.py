"""Span search: one distribution over the admissible spans of all windows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intbert.model.tokenizer import PairLayout
from intbert.runtime.spans import find_spans
from intbert.runtime.windows import Window, split_windows

BERT = PairLayout(prefix=(101,), middle=(102,), suffix=(102,), first_type=0, second_type=1)


def windows_of(context_tokens: int, window_tokens: int, overlap: int) -> list[Window]:
    """Windows over a document of distinct token ids, with a question of two tokens."""
    return split_windows(
        np.array([7, 8]),
        np.arange(1000, 1000 + context_tokens),
        BERT,
        window_tokens_max=window_tokens,
        overlap_tokens=overlap,
    )


def brute_force(windows: list[Window], logits: list[np.ndarray], longest: int) -> dict[tuple[int, int], int]:
    """Score of every span, from the window where its poorer side has the most context, the first of equals."""
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for window, window_logits in zip(windows, logits, strict=True):
        for start in range(window.context_start, window.context_end):
            for end in range(start, min(start + longest, window.context_end)):
                side = min(start - window.context_start, window.context_end - 1 - end)
                offset = window.context_position - window.context_start
                score = int(window_logits[start + offset, 0]) + int(window_logits[end + offset, 1])
                if (start, end) not in best or side > best[start, end][0]:
                    best[start, end] = (side, score)
    return {span: score for span, (_, score) in best.items()}


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.integers(1, 60),
    window=st.integers(6, 30),
    overlap=st.integers(0, 12),
    longest=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_span_counts_once_where_it_has_most_context(
    tokens: int, window: int, overlap: int, longest: int, seed: int
) -> None:
    """All spans, their order and their probabilities equal a plain loop over windows, starts and ends."""
    windows = windows_of(tokens, window, overlap)
    random = np.random.default_rng(seed)
    logits = [random.integers(-900, 900, (len(w.token_ids), 2), dtype=np.int32) for w in windows]
    expected = brute_force(windows, logits, longest)
    found = find_spans(windows, logits, logit_scale=0.01, answer_tokens_max=longest, top_k=10**6)
    assert {(s.start_token, s.end_token) for s in found.spans} == set(expected)
    ranked = sorted(expected, key=lambda span: (-expected[span], span))
    assert [(s.start_token, s.end_token) for s in found.spans] == ranked
    assert abs(sum(s.probability for s in found.spans) - 1) < 1e-9
    assert found.null_probability == 0


def test_a_softmax_for_each_window_would_choose_the_wrong_window() -> None:
    """A window that is sure of a weak span must not beat a window that hesitates between strong ones."""
    windows = windows_of(18, 14, 0)
    weak, strong = (np.full((len(w.token_ids), 2), -50.0) for w in windows)
    position = windows[0].context_position
    weak[position] = 2.0
    strong[position] = strong[position + 1] = 6.0
    found = find_spans(windows, [weak, strong], logit_scale=1.0, answer_tokens_max=1, top_k=3)
    assert [s.start_token for s in found.spans] == [windows[1].context_start, windows[1].context_start + 1, 0]
    assert found.spans[0].probability > 0.49 > 0.001 > found.spans[2].probability


def test_extreme_logits_do_not_overflow() -> None:
    """int32 logits near the limits and a large scale still give probabilities."""
    windows = windows_of(5, 20, 0)
    logits = [np.full((len(w.token_ids), 2), -(2**31) + 1, dtype=np.int32) for w in windows]
    logits[0][windows[0].context_position + 3] = 2**31 - 1
    found = find_spans(windows, logits, logit_scale=1.0, answer_tokens_max=5, top_k=1, with_null=True)
    assert (found.spans[0].start_token, found.spans[0].end_token, found.spans[0].probability) == (3, 3, 1.0)
    assert found.null_probability == 0


def test_null_takes_the_lowest_score_over_the_windows() -> None:
    """One window that finds an answer is enough to doubt 'no answer'."""
    windows = windows_of(18, 14, 0)
    logits = [np.zeros((len(w.token_ids), 2)) for w in windows]
    logits[0][0] = 9.0
    logits[1][0] = -9.0
    found = find_spans(windows, logits, logit_scale=1.0, answer_tokens_max=1, top_k=1, with_null=True)
    assert found.null_probability < 1e-6


def test_null_offset_moves_no_answer_alone() -> None:
    """It is added to the score of 'no answer'; the spans keep their order and their ratios."""
    windows = windows_of(18, 40, 0)
    logits = [np.random.default_rng(2).normal(0, 2, (len(w.token_ids), 2)) for w in windows]
    found = [
        find_spans(windows, logits, logit_scale=0.5, answer_tokens_max=4, top_k=3, with_null=True, null_offset=offset)
        for offset in (0.0, 1.5)
    ]
    assert [s.start_token for s in found[0].spans] == [s.start_token for s in found[1].spans]
    before, after = (item.null_probability / item.spans[0].probability for item in found)
    assert after / before == pytest.approx(np.exp(1.5))
