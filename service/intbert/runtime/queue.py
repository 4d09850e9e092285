"""The waiting line: entries sorted by length for each variant, and whose turn it is. Not thread-safe by itself."""

from bisect import bisect_left, insort
from concurrent.futures import Future
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from numpy.typing import NDArray

from intbert.runtime.batch import TokenSequence
from intbert.runtime.observer import VariantKey
from intbert.runtime.policy import next_window


@dataclass(frozen=True, kw_only=True)
class Output:
    """Logits of one sequence, (labels,) or (tokens, 2), and what the batch was."""

    logits: NDArray[Any]
    queue_s: float
    compute_s: float
    batch_tokens: int
    batch_sequences: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """One sequence that waits. Times are monotonic seconds; `arrival` is unique, for `turn` see `policy.turn`."""

    key: VariantKey
    sequence: TokenSequence
    arrival: int
    turn: int
    enqueued_s: float
    deadline_s: float
    future: Future[Output]

    @property
    def tokens(self) -> int:
        return self.sequence.tokens

    @property
    def order(self) -> tuple[int, int]:
        """Sorts by length, then by age."""
        return (self.tokens, self.arrival)


class WaitingLine:
    """All that waits. Every operation is logarithmic or a short move of memory."""

    def __init__(self) -> None:
        self.tokens = 0
        self.tokens_taken = 0  # by all batches so far: the clock of `policy.turn`
        self._turns: list[tuple[int, int]] = []  # heap of (turn, arrival); those that wait no more are skipped
        self._by_arrival: dict[int, Entry] = {}  # insertion order is arrival order
        self._sorted: dict[VariantKey, list[Entry]] = {}
        self._tokens_of: dict[VariantKey, int] = {}

    def __len__(self) -> int:
        return len(self._by_arrival)

    @property
    def oldest(self) -> Entry | None:
        """Who has waited longest."""
        return next(iter(self._by_arrival.values()), None)

    def tokens_of(self) -> dict[VariantKey, int]:
        """Waiting tokens of each variant."""
        return {key: tokens for key, tokens in self._tokens_of.items() if tokens}

    def tokens_until(self, turn: int) -> dict[VariantKey, int]:
        """Waiting tokens of each variant whose turn comes before, or with, the given one."""
        found: dict[VariantKey, int] = {}
        for entry in self._by_arrival.values():
            if entry.turn <= turn:
                found[entry.key] = found.get(entry.key, 0) + entry.tokens
        return found

    def push(self, entry: Entry) -> None:
        """Entries come in the order of `arrival`."""
        self._by_arrival[entry.arrival] = entry
        heappush(self._turns, (entry.turn, entry.arrival))
        insort(self._sorted.setdefault(entry.key, []), entry, key=lambda other: other.order)
        self._count(entry, entry.tokens)

    def remove(self, entry: Entry) -> bool:
        """False when the entry does not wait any more."""
        if self._by_arrival.pop(entry.arrival, None) is None:
            return False
        line = self._sorted[entry.key]
        del line[bisect_left(line, entry.order, key=lambda other: other.order)]
        self._count(entry, -entry.tokens)
        return True

    def pop_batch(self, budget_tokens: int) -> list[Entry]:
        """The window around the entry whose turn it is (`policy.next_window`); empty when nothing waits."""
        first = self._first()
        if first is None:
            return []
        line = self._sorted[first.key]
        position = bisect_left(line, first.order, key=lambda other: other.order)
        start, end = next_window(_Lengths(line), position, budget_tokens)
        batch = line[start:end]
        del line[start:end]
        for entry in batch:
            del self._by_arrival[entry.arrival]
            self._count(entry, -entry.tokens)
            self.tokens_taken += entry.tokens
        return batch

    def pop_all(self) -> list[Entry]:
        """Empty the line."""
        entries = list(self._by_arrival.values())
        for entry in entries:
            self.remove(entry)
        return entries

    def pop_expired(self, now_s: float) -> list[Entry]:
        """Entries whose deadline has passed."""
        expired = [entry for entry in self._by_arrival.values() if entry.deadline_s <= now_s]
        for entry in expired:
            self.remove(entry)
        return expired

    def _first(self) -> Entry | None:
        while self._turns and self._turns[0][1] not in self._by_arrival:
            heappop(self._turns)
        return self._by_arrival[self._turns[0][1]] if self._turns else None

    def _count(self, entry: Entry, tokens: int) -> None:
        self.tokens += tokens
        self._tokens_of[entry.key] = self._tokens_of.get(entry.key, 0) + tokens


class _Lengths:
    """The lengths of a line of entries, without copying it."""

    def __init__(self, line: list[Entry]) -> None:
        self._line = line

    def __len__(self) -> int:
        return len(self._line)

    def __getitem__(self, index: int) -> int:
        return self._line[index].tokens
