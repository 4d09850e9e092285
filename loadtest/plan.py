"""What a run measures, and the run itself: saturation first, then the same rates for every variant, interleaved."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.arrivals import Pattern, arrival_times
from loadtest.generator import Call, Client, send_on_schedule, send_without_pause
from loadtest.outcome import Outcome, Summary, summarise

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings of a run. `rates` are requests per second; empty: `shares` of each variant's own saturation."""

    variants: Sequence[str] = ("int8", "fp32")
    pattern: Pattern = "poisson"
    rates: Sequence[float] = ()
    shares: Sequence[float] = (0.5, 0.8)
    duration_s: float = 8.0
    saturation_s: float = 5.0
    warmup_s: float = 1.0
    users: int = 16
    slo_ms: Mapping[str, float]
    timeout_s: float = 10.0
    open_max: int = 1000
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One measurement at one rate."""

    endpoint: str
    variant: str
    rate: float
    summary: Summary
    outcomes: Sequence[Outcome]


@dataclass(frozen=True, kw_only=True)
class EndpointResult:
    """Everything measured on one endpoint."""

    endpoint: str
    slo_ms: float
    saturation: Mapping[str, Summary]
    phases: Sequence[Phase]

    def document(self) -> dict[str, Any]:
        """As JSON sees it; single outcomes are left out."""
        return {
            "endpoint": self.endpoint,
            "slo_ms": self.slo_ms,
            "saturation": {variant: summary.document() for variant, summary in self.saturation.items()},
            "phases": [
                {"variant": phase.variant, "rate": phase.rate, **phase.summary.document()} for phase in self.phases
            ],
        }


async def measure_endpoint(
    url: str, endpoint: str, calls: Mapping[str, Sequence[Call]], plan: Plan, *, progress: Progress
) -> EndpointResult:
    """`calls`: for each variant the requests to send. They take turns at each rate: drift hits all alike."""
    slo_ms = plan.slo_ms[endpoint]
    saturation = {v: await _saturate(url, calls[v], plan, slo_s=slo_ms / 1000) for v in plan.variants}
    for variant, summary in saturation.items():
        progress(f"{endpoint} {variant}: {summary.answered_per_s:.1f} answers/s at saturation")
    phases = []
    for rate in _rates(plan, saturation):
        for variant in plan.variants:
            phase = await _phase(url, endpoint, variant, calls[variant], rate, plan)
            progress(_line(phase))
            phases.append(phase)
    return EndpointResult(endpoint=endpoint, slo_ms=slo_ms, saturation=saturation, phases=phases)


async def _saturate(url: str, calls: Sequence[Call], plan: Plan, *, slo_s: float) -> Summary:
    async with Client(url, timeout_s=plan.timeout_s, connections=plan.users) as client:
        await send_without_pause(client, calls, duration_s=plan.warmup_s, users=2)
        outcomes = await send_without_pause(client, calls, duration_s=plan.saturation_s, users=plan.users)
    return summarise(outcomes, duration_s=plan.saturation_s, slo_s=slo_s)


async def _phase(url: str, endpoint: str, variant: str, calls: Sequence[Call], rate: float, plan: Plan) -> Phase:
    due_s = arrival_times(rate=rate, duration_s=plan.duration_s, pattern=plan.pattern, seed=plan.seed)
    # Connections of its own: those that an overload left behind would slow the next phase down
    async with Client(url, timeout_s=plan.timeout_s, connections=plan.open_max) as client:
        outcomes = await send_on_schedule(client, calls, due_s, open_max=plan.open_max)
    summary = summarise(outcomes, duration_s=plan.duration_s, slo_s=plan.slo_ms[endpoint] / 1000)
    return Phase(endpoint=endpoint, variant=variant, rate=rate, summary=summary, outcomes=outcomes)


def _rates(plan: Plan, saturation: Mapping[str, Summary]) -> list[float]:
    """Ascending rates, the same for every variant: above the slower one's saturation it has to show what it sheds."""
    own = (share * summary.answered_per_s for summary in saturation.values() for share in plan.shares)
    rates = list(plan.rates) or [round(rate, 2) for rate in own if rate > 0]
    if not rates:
        raise ValueError("no request was answered at saturation, so no rate follows from it; is the server ready?")
    return sorted(set(rates))


def _line(phase: Phase) -> str:
    summary = phase.summary
    latency = (
        f"p50 {summary.p50_ms:.1f} p95 {summary.p95_ms:.1f} p99 {summary.p99_ms:.1f} ms"
        if summary.p50_ms is not None and summary.p95_ms is not None and summary.p99_ms is not None
        else "nothing answered"
    )
    failures = f", failed {summary.failures}" if summary.failures else ""
    where = f"{phase.endpoint} {phase.variant} at {phase.rate:.1f}/s"
    return f"{where}: {latency}, goodput {summary.goodput_share:.1%}{failures}"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The settings, as JSON sees them."""
    return {**asdict(plan), "slo_ms": dict(plan.slo_ms)}
