"""Shadow comparison: its share, what it counts, and that it never touches the answer."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intbert.errors import UnavailableError
from intbert.runtime.classify import ClassifyParameters, ClassifyResult, TextInput
from intbert.runtime.observer import SilentObserver
from intbert.runtime.pool import PoolSettings, Work, WorkerPool
from intbert.runtime.qa import QaParameters, Question
from intbert.runtime.qa_job import QaJob
from intbert.runtime.service import InferenceService, ServiceSettings
from intbert.runtime.shadow import WAITING_MAX, is_sampled
from tests.model.packages import make_package
from tests.runtime.pools import KEY, ONE, TWO, Gate, sequence

GOOD, BAD = TextInput(text="a good film"), TextInput(text="bad plot , dull")


class Recorder(SilentObserver):
    """What shadows report."""

    def __init__(self) -> None:
        self.compared: list[tuple[str, str, str, int, list[float]]] = []
        self.dropped: Counter[str] = Counter()

    def on_shadow(
        self, *, model: str, variant: str, decision: str, disagreements: int, logit_abs_diffs: Sequence[float]
    ) -> None:
        self.compared.append((model, variant, decision, disagreements, list(logit_abs_diffs)))

    def on_shadow_drop(self, *, model: str, variant: str, reason: str) -> None:
        self.dropped[reason] += 1


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Comparisons happen some time after the answer."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.005)


@given(rate=st.floats(0, 1), start=st.integers(1, 10**12), stride=st.sampled_from([1, 2, 3, 10, 16]))
def test_every_stretch_of_requests_has_its_share(rate: float, start: int, stride: int) -> None:
    """Of any thousand neighbours, and of every second, third, ... request: no rhythm hides from the sample."""
    taken = sum(is_sampled(start + stride * step, rate) for step in range(1000))
    assert abs(taken - 1000 * rate) <= 20


@given(number=st.integers(1, 10**12), low=st.floats(0, 1), high=st.floats(0, 1))
def test_sampling_is_a_function_of_number_and_rate(number: int, low: float, high: float) -> None:
    """Nothing at 0, all at 1, and a higher rate keeps what a lower one takes."""
    assert not is_sampled(number, 0.0)
    assert is_sampled(number, 1.0)
    low, high = sorted((low, high))
    assert is_sampled(number, high) or not is_sampled(number, low)


def start(store: Path, rate: float) -> tuple[InferenceService, Recorder]:
    recorder = Recorder()
    service = InferenceService(ServiceSettings(store=store, shadow_rate=rate, threads=2), recorder)
    assert service.start().ready, service.status()
    return service, recorder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier and a span model."""
    root = tmp_path_factory.mktemp("store")
    make_package(root)
    make_package(root, name="spans", task="question-answering")
    return root


def ask(service: InferenceService, inputs: list[TextInput], variant: str = "int8") -> ClassifyResult:
    return asyncio.run(service.classify(inputs, ClassifyParameters(variant=variant)))


def test_what_is_counted_is_what_the_variants_answer(store: Path) -> None:
    """Each input once, with the decision of both variants and the distance of their logits."""
    service, recorder = start(store, 1.0)
    int8, fp32 = ask(service, [GOOD, BAD]), ask(service, [GOOD, BAD], "fp32")
    wait_until(lambda: len(recorder.compared) == 1)
    ((model, variant, decision, disagreements, differences),) = recorder.compared
    assert (model, variant, decision) == ("tiny", "int8", "label")
    assert disagreements == sum(a[0].label != b[0].label for a, b in zip(int8.results, fp32.results, strict=True))
    scale = service.manifest("tiny").variants["int8"].logit_scale or 0
    expected = [abs(a * scale - b).max() for a, b in zip(int8.logits, fp32.logits, strict=True)]
    assert differences == pytest.approx(expected, rel=1e-5)
    assert service.close(10)
    assert not recorder.dropped


def test_spans_are_compared_over_all_windows(store: Path) -> None:
    """One input, however many windows."""
    service, recorder = start(store, 1.0)
    question = Question(question="who ?", context="a good film " * 100)
    result = asyncio.run(service.answer(QaJob(questions=[question], selection=QaParameters())))
    assert result.usage[0].windows > 1
    wait_until(lambda: len(recorder.compared) == 1)
    assert recorder.compared[0][:3] == ("spans", "int8", "span")
    assert len(recorder.compared[0][4]) == 1
    assert service.close(10)


def test_answers_are_the_same_with_and_without(store: Path) -> None:
    """Bit for bit; without a rate, of float answers, and of commands nothing is compared."""
    silent, nothing = start(store, 0.0)
    loud, recorder = start(store, 1.0)
    assert not silent.memory("tiny", "fp32").loaded
    assert loud.memory("tiny", "fp32").loaded
    for inputs in ([GOOD], [BAD], [GOOD, BAD]):
        plain, shadowed = ask(silent, inputs), ask(loud, inputs)
        assert plain.results == shadowed.results
        assert [row.tolist() for row in plain.logits] == [row.tolist() for row in shadowed.logits]
    ask(loud, [GOOD], "fp32")
    loud.classify_now([GOOD], ClassifyParameters())
    wait_until(lambda: len(recorder.compared) == 3)
    assert silent.close(10)
    assert loud.close(10)
    assert (len(recorder.compared), len(nothing.compared)) == (3, 0)


def test_too_large_requests_and_a_full_queue_are_dropped_and_counted(store: Path) -> None:
    """Every sampled request is compared or counted as dropped; the answers come all the same."""
    service, recorder = start(store, 1.0)
    long = TextInput(text="good " * 40)

    async def flood() -> None:
        results = await asyncio.gather(
            *(service.classify([long] * 4, ClassifyParameters()) for _ in range(3 * WAITING_MAX)),
            service.classify([long] * 256, ClassifyParameters()),
        )
        assert len(results) == 3 * WAITING_MAX + 1

    asyncio.run(flood())
    wait_until(lambda: len(recorder.compared) + recorder.dropped.total() == 3 * WAITING_MAX + 1, 60.0)
    assert recorder.dropped["too_large"] == 1
    assert recorder.dropped["busy"] > 0
    assert service.close(10)


def test_idle_work_begins_only_when_nothing_else_does() -> None:
    """While a worker is busy, or anything waits, it stays where it is; other work passes it."""
    gate = Gate(opened=False)
    pool = WorkerPool(TWO, PoolSettings(batch_tokens_max=64))
    pool.add(KEY, gate, per_token=False)
    first = pool.submit(Work(key=KEY, sequence=sequence(3), deadline_s=30))
    assert gate.running.acquire(timeout=10)
    (idle,) = pool.submit_idle([Work(key=KEY, sequence=sequence(5), deadline_s=30)])
    time.sleep(0.05)
    assert [lengths for _, lengths in gate.runs] == [[3]]
    second = pool.submit(Work(key=KEY, sequence=sequence(4), deadline_s=30))
    assert gate.running.acquire(timeout=10)
    gate.opened.set()
    assert [future.result(10).batch_tokens for future in (first, second, idle)] == [3, 4, 5]
    assert [lengths for _, lengths in gate.runs] == [[3], [4], [5]]
    assert pool.close(10)


def test_closing_cancels_idle_work_at_once() -> None:
    """Nobody waits for it; what was admitted is finished."""
    gate = Gate(opened=False)
    pool = WorkerPool(ONE)
    pool.add(KEY, gate, per_token=False)
    first = pool.submit(Work(key=KEY, sequence=sequence(3), deadline_s=30))
    assert gate.running.acquire(timeout=10)
    (idle,) = pool.submit_idle([Work(key=KEY, sequence=sequence(5), deadline_s=30)])
    gate.opened.set()
    assert pool.close(10)
    assert first.result(0).batch_tokens == 3
    assert idle.cancelled() or idle.result(0)
    with pytest.raises(UnavailableError):
        pool.submit_idle([Work(key=KEY, sequence=sequence(5), deadline_s=30)])
