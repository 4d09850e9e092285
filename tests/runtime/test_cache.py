"""The prediction cache is bounded, thread-safe, and invisible except in latency."""

import asyncio
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intbert.runtime.batch import TokenSequence
from intbert.runtime.cache import ENTRY_BYTES, CacheScope, PredictionCache, key_of
from intbert.runtime.classify import ClassifyParameters, TextInput
from intbert.runtime.observer import SilentObserver
from intbert.runtime.qa import QaParameters, Question
from intbert.runtime.qa_job import QaJob
from intbert.runtime.queue import Output
from intbert.runtime.service import InferenceService, ServiceSettings
from tests.model.packages import make_package

SCOPE = CacheScope(model="m", variant="int8", sha256="ab" * 32)
ENTRY = ENTRY_BYTES + 8  # two int32 logits
WORDS = ["a", "good", "film", "bad", "plot", "dull", "was", "not"]


class Recorder(SilentObserver):
    """Sums of what the cache reports."""

    def __init__(self) -> None:
        self.hits = self.misses = self.held_bytes = 0

    def on_cache(self, *, model: str, variant: str, hits: int, misses: int) -> None:
        self.hits += hits
        self.misses += misses

    def on_cache_size(self, *, held_bytes: int) -> None:
        self.held_bytes = held_bytes


def sequence(*ids: int) -> TokenSequence:
    return TokenSequence.of(ids)


def output(*logits: int) -> Output:
    return Output(
        logits=np.array(logits, dtype=np.int32), queue_s=1.0, compute_s=1.0, batch_tokens=9, batch_sequences=1
    )


def known(cache: PredictionCache, item: TokenSequence) -> list[int] | None:
    (found,) = cache.find(SCOPE, [item])
    return None if found is None else found.logits.tolist()


def test_the_least_recently_used_goes_first() -> None:
    """Finding is using; what is kept again moves to the front and is counted once."""
    recorder = Recorder()
    cache = PredictionCache(2 * ENTRY, recorder)
    cache.keep(SCOPE, [sequence(1), sequence(2)], [output(1, 1), output(2, 2)])
    assert known(cache, sequence(1)) == [1, 1]
    cache.keep(SCOPE, [sequence(3)], [output(3, 3)])
    assert [known(cache, sequence(n)) for n in (1, 2, 3)] == [[1, 1], None, [3, 3]]
    cache.keep(SCOPE, [sequence(1)], [output(1, 1)])
    assert recorder.held_bytes == 2 * ENTRY
    assert (recorder.hits, recorder.misses) == (3, 1)


def test_what_exceeds_the_whole_cache_is_not_kept() -> None:
    """And pushes nothing out."""
    cache = PredictionCache(ENTRY, Recorder())
    cache.keep(SCOPE, [sequence(1)], [output(1, 1)])
    cache.keep(SCOPE, [sequence(2)], [output(*range(50))])
    assert known(cache, sequence(1)) == [1, 1]
    assert known(cache, sequence(2)) is None


def test_nobody_can_change_what_is_remembered() -> None:
    """Neither through the array that was kept, nor through one that was found."""
    cache = PredictionCache(10 * ENTRY, Recorder())
    first = output(1, 2)
    cache.keep(SCOPE, [sequence(1)], [first])
    first.logits[0] = 99
    (found,) = cache.find(SCOPE, [sequence(1)])
    assert found is not None
    with pytest.raises(ValueError, match="read-only"):
        found.logits[0] = 99
    assert (known(cache, sequence(1)), found.queue_s, found.compute_s) == ([1, 2], 0.0, 0.0)


@given(
    st.lists(
        st.tuples(
            st.text("ab", max_size=2), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=4)
        ),
        min_size=2,
        max_size=8,
    )
)
def test_keys_are_equal_only_for_equal_inputs(cases: list[tuple[str, list[tuple[int, int]]]]) -> None:
    """Package, variant, token ids and type ids each tell two inputs apart, and nothing else does."""
    parts = []
    for text, pairs in cases:
        ids, types = ([pair[side] for pair in pairs] for side in (0, 1))
        scope = CacheScope(model="m", variant=text[:1], sha256=text[1:])
        parts.append(((text[:1], text[1:], *pairs), key_of(scope, TokenSequence.of(ids, types))))
    for one, key in parts:
        for other, other_key in parts:
            assert (one == other) == (key == other_key)


def test_threads_never_see_anothers_logits_and_the_bound_holds() -> None:
    """Eight threads on a cache that is always too small."""
    recorder = Recorder()
    cache = PredictionCache(20 * ENTRY, recorder)
    wrong: list[object] = []

    def work(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(400):
            number = choose.randrange(40)
            found = known(cache, sequence(number))
            if found is None:
                cache.keep(SCOPE, [sequence(number)], [output(number, -number)])
            elif found != [number, -number]:
                wrong.append(found)
            if recorder.held_bytes > 20 * ENTRY:
                wrong.append(recorder.held_bytes)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert sum(known(cache, sequence(number)) is not None for number in range(40)) == 20


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InferenceService, InferenceService, Recorder]]:
    """The same store without a cache, and with one that holds a few entries only."""
    store: Path = tmp_path_factory.mktemp("store")
    make_package(store)
    make_package(store, version="2", seed=2)
    make_package(store, name="spans", task="question-answering")
    recorder = Recorder()
    plain = InferenceService(ServiceSettings(store=store, threads=1))
    caching = InferenceService(ServiceSettings(store=store, threads=1, cache_bytes=12 * ENTRY), recorder)
    assert plain.start().ready
    assert caching.start().ready
    yield plain, caching, recorder
    assert plain.close(10)
    assert caching.close(10)


texts = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(" ".join), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=texts, version=st.sampled_from(["1", "2"]))
def test_with_and_without_the_cache_the_same_bits(
    services: tuple[InferenceService, InferenceService, Recorder], asked: list[str], version: str
) -> None:
    """Whatever was asked before, in any mixture of known and new inputs, of any version."""
    plain, caching, _ = services
    inputs = [TextInput(text=text) for text in asked]
    selection = ClassifyParameters(version=version, return_digest=True)
    expected = plain.classify_now(inputs, selection)
    for found in (caching.classify_now(inputs, selection), asyncio.run(caching.classify(inputs, selection))):
        assert (found.results, found.digests, found.usage) == (expected.results, expected.digests, expected.usage)


def test_it_is_used_by_both_tasks_and_not_by_float_variants(
    services: tuple[InferenceService, InferenceService, Recorder],
) -> None:
    """A remembered answer took no time in queue and compute; a comparison computes again; FP32 is never looked up."""
    plain, caching, recorder = services
    text = TextInput(text="not a dull film")
    caching.classify_now([text], ClassifyParameters())
    hits, misses = recorder.hits, recorder.misses
    again = caching.classify_now([text, text], ClassifyParameters())
    assert (recorder.hits, recorder.misses) == (hits + 2, misses)
    assert (again.timings.queue_s, again.timings.compute_s) == (0, 0)
    question = QaJob(questions=[Question(question="who ?", context="a film")], selection=QaParameters())
    assert (
        caching.answer_now(question).results
        == caching.answer_now(question).results
        == plain.answer_now(question).results
    )
    assert (recorder.hits, recorder.misses) == (hits + 3, misses + 1)
    caching.classify_now([text], ClassifyParameters(variant="fp32"))
    compared = asyncio.run(caching.compare(question))
    assert all(run.result.timings.compute_s > 0 for run in compared.runs)
    assert (recorder.hits, recorder.misses) == (hits + 3, misses + 1)
    assert 0 < recorder.held_bytes <= 12 * ENTRY
