"""What happened to the requests of one phase, and the figures that follow from it. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One request. Times in seconds from the phase's start; `status` 0 means that no answer came, `error` says why."""

    due_s: float
    sent_s: float
    done_s: float
    status: int
    error: str = ""

    @property
    def latency_s(self) -> float:
        """From the moment the request was due, not from when it could be sent: waiting is not hidden."""
        return self.done_s - self.due_s


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Figures of one phase. Rates per second over `elapsed_s`; latencies in milliseconds, of answered requests."""

    offered_per_s: float
    answered_per_s: float
    goodput_per_s: float
    goodput_share: float
    requests: int
    answered: int
    failures: dict[str, int]
    elapsed_s: float
    late_sends: int
    mean_ms: float | None
    max_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    def document(self) -> dict[str, Any]:
        """As JSON sees it."""
        return asdict(self)


def summarise(outcomes: Sequence[Outcome], *, duration_s: float, slo_s: float, late_s: float = 0.01) -> Summary:
    """Figures of one phase that offered requests for `duration_s`.

    Goodput counts requests that were answered with 200 within `slo_s` of being due. `late_sends` counts requests that
    the generator itself sent more than `late_s` late: above a few per cent, the generator was the bottleneck.
    """
    answered = [outcome for outcome in outcomes if outcome.status == 200]
    latencies_ms = np.array([outcome.latency_s * 1000 for outcome in answered])
    elapsed_s = max([duration_s, *(outcome.done_s for outcome in outcomes)])
    good = int(np.count_nonzero(latencies_ms <= slo_s * 1000))
    quantiles = np.percentile(latencies_ms, PERCENTILES).tolist() if answered else [None] * len(PERCENTILES)
    return Summary(
        offered_per_s=len(outcomes) / duration_s,
        answered_per_s=len(answered) / elapsed_s,
        goodput_per_s=good / elapsed_s,
        goodput_share=good / len(outcomes) if outcomes else 0.0,
        requests=len(outcomes),
        answered=len(answered),
        failures=dict(Counter(reason(outcome) for outcome in outcomes if outcome.status != 200)),
        elapsed_s=elapsed_s,
        late_sends=sum(outcome.sent_s - outcome.due_s > late_s for outcome in outcomes),
        mean_ms=float(latencies_ms.mean()) if answered else None,
        max_ms=float(latencies_ms.max()) if answered else None,
        p50_ms=quantiles[0],
        p95_ms=quantiles[1],
        p99_ms=quantiles[2],
    )


def reason(outcome: Outcome) -> str:
    """Under which name a failure is counted: the HTTP status, or what kept the answer away."""
    return str(outcome.status) if outcome.status else outcome.error
