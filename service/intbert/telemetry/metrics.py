"""Every metric of the service, declared once. Base units; `Metrics` writes to the registry that it is given.

All label sets are created as soon as the served variants are known (`on_variant_loaded`), so that an alert never misses
a series. Names of models come from the store, never from a request: clients can't create series.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from intbert.telemetry.cgroup import CgroupCpu, read_cgroup_cpu

# 0.5 ms to 10 s: 1, 1.4, 2, 3, 5, 7 a decade, 22 bounds
SECONDS = (
    *(0.0005, 0.0007, 0.001, 0.0014, 0.002, 0.003, 0.005, 0.007, 0.01, 0.014, 0.02, 0.03, 0.05, 0.07),
    *(0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
)
TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LOGITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0, 10.0)
RATIOS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75)

# The values of the label `endpoint`; one for every version of every model at the Open Inference Protocol.
ENDPOINTS = (
    *("/classify", "/qa", "/compare"),
    *("/predict", "/v1/classify", "/v2/infer", "/hf/text-classification", "/hf/question-answering"),
)
OF_SEVERAL_VARIANTS = frozenset({"/compare"})  # its requests are counted without a variant
WORKER_STATES = ("idle", "busy", "stopped")
SHADOW_DROP_REASONS = ("busy", "too_large", "late", "failed")
DROP_REASONS = ("overloaded", "deadline", "cancelled", "unavailable", "internal")
FAILURE_REASONS = ("invalid", "too_long", "overloaded", "deadline", "cancelled", "unavailable", "internal")
UNRESOLVED_CODES = ("400", "401", "404", "408", "413", "415", "422", "429", "499", "500", "503", "504")
RESOLVED_CODES = ("200", "404", "413", "422", "429", "499", "500", "503", "504")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a request was for. All empty while the store has not told: also for a request that names no known model."""

    model: str = ""
    version: str = ""
    variant: str = ""


@dataclass(frozen=True, kw_only=True)
class Durations:
    """Stages of one answered request, in seconds; of several inputs the longest wait and the longest compute."""

    tokenize_s: float
    queue_s: float
    compute_s: float
    postprocess_s: float


class Metrics:
    """All series of one process, and the observer of its runtime.

    `endpoints` are the values of the label in `requests_total`, for example "/classify". `clock` gives Unix time.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        endpoints: Iterable[str] = ENDPOINTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.registry = registry
        self.endpoints = tuple(endpoints)
        self._clock = clock
        self._known_requests: dict[tuple[str, str, str, str, int], Counter] = {}
        self._known_stages: dict[tuple[str, str], tuple[Histogram, ...]] = {}
        self._declare_requests()
        self._declare_runtime()
        self._declare_models()
        self._declare_shadow()
        self._declare_cache()
        ProcessCollector(namespace="intbert", registry=registry)
        registry.register(_CgroupCollector(read_cgroup_cpu))
        self._create_unresolved()

    def render(self) -> bytes:
        """The text format of Prometheus. Takes milliseconds: not for the event loop."""
        return generate_latest(self.registry)

    def _declare_requests(self) -> None:
        self.requests = self._counter(
            "requests", "Finished requests by HTTP status", ["endpoint", "model", "version", "variant", "code"]
        )
        self.failures = self._counter("request_failures", "Requests without an answer, by reason", ["reason"])
        self.truncated_inputs = self._counter("truncated_inputs", "Inputs of which tokens were dropped on request", [])
        self.request_s = self._seconds("request_duration", "From the request's headers to its answer's last byte")
        self.tokenize_s = self._seconds("tokenize_duration", "Text to token ids, all inputs of a request")
        self.queue_s = self._seconds("queue_duration", "Longest wait of a request's inputs for a free worker")
        self.compute_s = self._seconds("compute_duration", "Token ids to logits, the longest batch of a request")
        self.postprocess_s = self._seconds("postprocess_duration", "Logits to labels and scores")
        self.request_tokens = self._histogram("request_tokens", "Tokens of one request", TOKENS)
        self.qa_windows = self._histogram("qa_windows", "Windows of one question's context", SEQUENCES)
        self.inflight = self._gauge("inflight_requests", "Requests being answered now", [])

    def _declare_runtime(self) -> None:
        self.batch_tokens = self._histogram("batch_tokens", "Tokens of one batch", TOKENS)
        self.batch_sequences = self._histogram("batch_sequences", "Sequences of one batch", SEQUENCES)
        self.batch_padding = self._histogram(
            "batch_padding_ratio", "Share of a batch's computed tokens that was padding", RATIOS
        )
        self.engine_cpu_s = self._counter(
            "engine_cpu_seconds", "Processor time of the workers inside the engine", ["model", "variant"]
        )
        self.dropped_items = self._counter(
            "dropped_items", "Items (a text, or a window of it) refused or dropped", ["model", "variant", "reason"]
        )
        self.queue_tokens = self._gauge("queue_tokens", "Tokens that wait for a worker", [])
        self.queue_oldest_age_s = self._gauge("queue_oldest_age_seconds", "Age of the oldest waiting item", [])
        self._queue_seen = (0, 0.0, 0.0)  # tokens, age of the oldest, when
        self.queue_oldest_age_s.set_function(self._oldest_age_now_s)
        self.worker_state = self._gauge("worker_state", "1 for the state that the worker is in", ["worker", "state"])
        self.worker_progress = self._gauge(
            "worker_last_progress_timestamp_seconds", "Unix time of the worker's last change of state", ["worker"]
        )

    def _declare_models(self) -> None:
        labels = ["model", "version", "variant"]
        self.weights_bytes = self._gauge("model_weights_bytes", "Weights as the engine holds them", labels)
        self.arena_bytes = self._gauge("variant_arena_bytes", "Buffers of the variant's sessions", labels)
        self.model_info = self._gauge("model_info", "1 for every loaded variant", [*labels, "sha256", "default"])
        self.model_active = self._gauge(
            "model_active", "1 for the version that serves by default", ["model", "version"]
        )
        self.refused_versions = self._gauge(
            "refused_versions", "Versions that the start passed over because they must not be used", []
        )
        self._versions: set[tuple[str, str]] = set()
        self._read_arena: Callable[[str, str, str], float] | None = None
        self.build_info = self._gauge("build_info", "1; what runs", ["version", "kernels", "python"])

    def _declare_shadow(self) -> None:
        """Of inputs that an integer variant (the label) answered and the float variant computed too."""
        labels = ["model", "variant"]
        self.shadow_comparisons = self._counter("shadow_comparisons", "Inputs compared with the float variant", labels)
        self.shadow_disagreements = {
            "label": self._counter("shadow_label_disagreements", "Compared inputs with another best label", labels),
            "span": self._counter("shadow_span_disagreements", "Compared questions with another best span", labels),
        }
        self.shadow_logits = self._histogram(
            "shadow_logit_abs_diff", "Largest difference of a logit of one input, in real units", LOGITS
        )
        self.shadow_dropped = self._counter(
            "shadow_dropped", "Sampled requests that were not compared", [*labels, "reason"]
        )

    def _declare_cache(self) -> None:
        labels = ["model", "variant"]
        self.cache_hits = self._counter("cache_hits", "Sequences whose logits were known", labels)
        self.cache_misses = self._counter("cache_misses", "Sequences that were looked up in vain", labels)
        self.cache_held_bytes = self._gauge("cache_bytes", "What the prediction cache holds", [])

    def _create_unresolved(self) -> None:
        for endpoint in self.endpoints:
            for code in UNRESOLVED_CODES:
                self.requests.labels(endpoint, "", "", "", code)
        for reason in FAILURE_REASONS:
            self.failures.labels(reason)

    def _oldest_age_now_s(self) -> float:
        """It grows between two reports too: a queue that nobody works on must be seen."""
        tokens, age_s, seen_s = self._queue_seen
        return age_s + max(0.0, self._clock() - seen_s) if tokens else 0.0

    # What the API reports

    def request_finished(self, *, endpoint: str, target: Target, code: int, duration_s: float) -> None:
        """Count one request; its duration is kept when its variant is known."""
        self._request(endpoint, target, code).inc()
        if target.variant:
            self._stages(target.model, target.variant)[0].observe(duration_s)

    def request_failed(self, reason: str) -> None:
        """`reason` is one of FAILURE_REASONS."""
        self.failures.labels(reason).inc()

    def request_answered(self, *, target: Target, durations: Durations, tokens: int, truncated: int) -> None:
        """What an answered request took and was; `truncated` inputs lost tokens."""
        _, tokenize_s, queue_s, compute_s, postprocess_s, request_tokens = self._stages(target.model, target.variant)
        tokenize_s.observe(durations.tokenize_s)
        queue_s.observe(durations.queue_s)
        compute_s.observe(durations.compute_s)
        postprocess_s.observe(durations.postprocess_s)
        request_tokens.observe(tokens)
        if truncated:
            self.truncated_inputs.inc(truncated)

    def question_answered(self, *, target: Target, windows: int) -> None:
        """How many windows one question needed."""
        self.qa_windows.labels(target.model, target.variant).observe(windows)

    def declare_variant(self, target: Target) -> None:
        """Create every series of a variant that can be asked for, at zero, loaded or not."""
        labels = (target.model, target.version, target.variant)
        if (target.model, target.version) not in self._versions:
            self._versions.add((target.model, target.version))
            self.model_active.labels(target.model, target.version)
        self.weights_bytes.labels(*labels)
        arena = self.arena_bytes.labels(*labels)
        if self._read_arena is not None:
            arena.set_function(partial(self._read_arena, *labels))
        for endpoint in self.endpoints:
            variant = "" if endpoint in OF_SEVERAL_VARIANTS else target.variant
            for code in RESOLVED_CODES:
                self.requests.labels(endpoint, target.model, target.version, variant, code)
        for histogram in self._per_variant():
            histogram.labels(target.model, target.variant)
        for reason in DROP_REASONS:
            self.dropped_items.labels(target.model, target.variant, reason)
        for counter in (
            self.engine_cpu_s,
            self.cache_hits,
            self.cache_misses,
            self.shadow_comparisons,
            *self.shadow_disagreements.values(),
        ):
            counter.labels(target.model, target.variant)
        for reason in SHADOW_DROP_REASONS:
            self.shadow_dropped.labels(target.model, target.variant, reason)

    def watch_arenas(self, read_bytes: Callable[[str, str, str], float]) -> None:
        """Ask `read_bytes` (model, version, variant) for a variant's buffers at each scrape; call it before any is
        declared."""
        self._read_arena = read_bytes

    def build(self, *, version: str, kernels: str, python: str) -> None:
        """What runs: the package's version, the active kernel set, the interpreter."""
        self.build_info.labels(version, kernels, python).set(1)

    # What the runtime reports: `runtime.observer.Observer`

    def on_queue(self, *, tokens: int, oldest_age_s: float) -> None:
        self.queue_tokens.set(tokens)
        self._queue_seen = (tokens, oldest_age_s, self._clock())

    def on_batch(
        self,
        *,
        model: str,
        variant: str,
        tokens: int,
        sequences: int,
        compute_s: float,
        engine_cpu_s: float,
        padding_ratio: float,
    ) -> None:
        # compute_s is reported by the requests of the batch, so that the stages of a request can be added up
        self.batch_tokens.labels(model, variant).observe(tokens)
        self.batch_sequences.labels(model, variant).observe(sequences)
        self.batch_padding.labels(model, variant).observe(padding_ratio)
        self.engine_cpu_s.labels(model, variant).inc(engine_cpu_s)

    def on_drop(self, *, model: str, variant: str, reason: str) -> None:
        self.dropped_items.labels(model, variant, reason).inc()

    def on_shadow(
        self, *, model: str, variant: str, decision: str, disagreements: int, logit_abs_diffs: Sequence[float]
    ) -> None:
        self.shadow_comparisons.labels(model, variant).inc(len(logit_abs_diffs))
        self.shadow_disagreements[decision].labels(model, variant).inc(disagreements)
        for difference in logit_abs_diffs:
            self.shadow_logits.labels(model, variant).observe(difference)

    def on_shadow_drop(self, *, model: str, variant: str, reason: str) -> None:
        self.shadow_dropped.labels(model, variant, reason).inc()

    def on_worker(self, *, worker: int, state: str) -> None:
        for known in WORKER_STATES:
            self.worker_state.labels(str(worker), known).set(known == state)
        self.worker_progress.labels(str(worker)).set(self._clock())

    def on_variant_loaded(
        self, *, model: str, version: str, variant: str, sha256: str, weights_bytes: int, default: bool
    ) -> None:
        target = Target(model=model, version=version, variant=variant)
        self.declare_variant(target)
        self.weights_bytes.labels(model, version, variant).set(weights_bytes)
        self.model_info.labels(model, version, variant, sha256, str(default).lower()).set(1)

    def on_cache(self, *, model: str, variant: str, hits: int, misses: int) -> None:
        self.cache_hits.labels(model, variant).inc(hits)
        self.cache_misses.labels(model, variant).inc(misses)

    def on_cache_size(self, *, held_bytes: int) -> None:
        self.cache_held_bytes.set(held_bytes)

    def on_activate(self, *, model: str, version: str) -> None:
        self._versions.add((model, version))
        for name, known in tuple(self._versions):
            if name == model:
                self.model_active.labels(name, known).set(known == version)

    def _request(self, endpoint: str, target: Target, code: int) -> Counter:
        """Looked up by label once: the library takes as long for that as for counting."""
        key = (endpoint, target.model, target.version, target.variant, code)
        if key not in self._known_requests:
            self._known_requests[key] = self.requests.labels(*key[:4], str(code))
        return self._known_requests[key]

    def _stages(self, model: str, variant: str) -> tuple[Histogram, ...]:
        """Of a variant's requests: the whole, tokenize, queue, compute, postprocess, tokens."""
        key = (model, variant)
        if key not in self._known_stages:
            self._known_stages[key] = tuple(
                histogram.labels(model, variant)
                for histogram in (
                    *(self.request_s, self.tokenize_s, self.queue_s, self.compute_s, self.postprocess_s),
                    self.request_tokens,
                )
            )
        return self._known_stages[key]

    def _per_variant(self) -> tuple[Histogram, ...]:
        stages = (self.request_s, self.tokenize_s, self.queue_s, self.compute_s, self.postprocess_s)
        return (
            *stages,
            self.request_tokens,
            self.qa_windows,
            self.batch_tokens,
            self.batch_sequences,
            self.batch_padding,
            self.shadow_logits,
        )

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(f"intbert_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str]) -> Gauge:
        return Gauge(f"intbert_{name}", text, labels, registry=self.registry)

    def _seconds(self, name: str, text: str) -> Histogram:
        return self._histogram(f"{name}_seconds", text, SECONDS)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"intbert_{name}", text, ["model", "variant"], buckets=buckets, registry=self.registry)


class _CgroupCollector(Collector):
    """Read at each scrape; no limit is +Inf."""

    def __init__(self, read: Callable[[], CgroupCpu]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        cpu = self._read()
        yield GaugeMetricFamily(
            "intbert_cgroup_cpu_limit_cores", "Cores that the control group may use", value=cpu.limit_cores
        )
        yield CounterMetricFamily(
            "intbert_cgroup_cpu_throttled_seconds", "Time that the quota held the process back", value=cpu.throttled_s
        )
