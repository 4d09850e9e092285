"""The waiting line keeps its counts, whatever comes and goes in whatever order."""

from concurrent.futures import Future

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from intbert.runtime.batch import TokenSequence
from intbert.runtime.observer import VariantKey
from intbert.runtime.queue import Entry, WaitingLine

KEYS = [VariantKey(model="m", version="1", variant=name) for name in ("int8", "fp32")]


class Line(RuleBasedStateMachine):
    """The line beside a plain list in order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.line = WaitingLine()
        self.model: list[Entry] = []
        self.arrivals = 0

    @rule(key=st.sampled_from(KEYS), tokens=st.integers(1, 50), turn=st.integers(0, 9), deadline_s=st.integers(0, 10))
    def push(self, key: VariantKey, tokens: int, turn: int, deadline_s: int) -> None:
        self.arrivals += 1
        entry = Entry(
            key=key,
            sequence=TokenSequence.of([1] * tokens),
            arrival=self.arrivals,
            turn=turn,
            enqueued_s=0.0,
            deadline_s=float(deadline_s),
            future=Future(),
        )
        self.line.push(entry)
        self.model.append(entry)

    @rule(budget=st.integers(1, 120))
    def pop_batch(self, budget: int) -> None:
        """Holds whose turn it is, one variant only, within the budget or alone."""
        batch = self.line.pop_batch(budget)
        assert bool(batch) == bool(self.model)
        if batch:
            first = min(self.model, key=lambda entry: (entry.turn, entry.arrival))
            assert first in batch
            assert {entry.key for entry in batch} == {first.key}
            assert len(batch) == 1 or sum(entry.tokens for entry in batch) <= budget
        self.model = [entry for entry in self.model if entry not in batch]

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Once; the second time there is nothing to remove."""
        if self.model:
            entry = data.draw(st.sampled_from(self.model))
            assert self.line.remove(entry)
            assert not self.line.remove(entry)
            self.model.remove(entry)

    @rule(now_s=st.integers(0, 10))
    def pop_expired(self, now_s: int) -> None:
        expired = self.line.pop_expired(now_s)
        assert expired == [entry for entry in self.model if entry.deadline_s <= now_s]
        self.model = [entry for entry in self.model if entry not in expired]

    @rule()
    def pop_all(self) -> None:
        assert self.line.pop_all() == self.model
        self.model = []

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.line) == len(self.model)
        assert self.line.tokens == sum(entry.tokens for entry in self.model)
        assert sum(self.line.tokens_of().values()) == self.line.tokens
        assert self.line.oldest is (self.model[0] if self.model else None)


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
