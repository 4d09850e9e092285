"""Metrics: names, series from the start, the observer's counts."""

import inspect
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from intbert.runtime import observer
from intbert.telemetry.metrics import (
    DROP_REASONS,
    SECONDS,
    SHADOW_DROP_REASONS,
    WORKER_STATES,
    Durations,
    Metrics,
    Target,
)

TARGET = Target(model="tiny", version="1", variant="int8")
SPECIFIED = {
    "intbert_requests",
    "intbert_request_failures",
    "intbert_request_duration_seconds",
    "intbert_tokenize_duration_seconds",
    "intbert_queue_duration_seconds",
    "intbert_compute_duration_seconds",
    "intbert_postprocess_duration_seconds",
    "intbert_batch_tokens",
    "intbert_batch_sequences",
    "intbert_batch_padding_ratio",
    "intbert_request_tokens",
    "intbert_qa_windows",
    "intbert_queue_tokens",
    "intbert_queue_oldest_age_seconds",
    "intbert_inflight_requests",
    "intbert_worker_state",
    "intbert_worker_last_progress_timestamp_seconds",
    "intbert_model_weights_bytes",
    "intbert_variant_arena_bytes",
    "intbert_process_resident_memory_bytes",
    "intbert_cgroup_cpu_limit_cores",
    "intbert_cgroup_cpu_throttled_seconds",
    "intbert_truncated_inputs",
    "intbert_build_info",
    "intbert_shadow_comparisons",
    "intbert_shadow_label_disagreements",
    "intbert_shadow_span_disagreements",
    "intbert_shadow_logit_abs_diff",
    "intbert_model_info",
    "intbert_refused_versions",
}


@pytest.fixture
def metrics() -> Metrics:
    """A registry of its own for every test: there are no globals."""
    return Metrics(CollectorRegistry(), clock=lambda: 1234.5)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(name, sorted labels) -> value, read back from the text that Prometheus gets."""
    return dict(_samples(metrics.render().decode()))


def _samples(text: str) -> Iterator[tuple[tuple[str, tuple[tuple[str, str], ...]], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                yield (sample.name, tuple(sorted(sample.labels.items()))), sample.value


def test_every_specified_name_is_there_and_nothing_without_the_prefix(metrics: Metrics) -> None:
    """The names are a contract with dashboards and alerts."""
    names = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    assert names >= SPECIFIED
    assert all(name.startswith("intbert_") for name in names)


def test_histograms_have_22_bounds_from_half_a_millisecond_to_ten_seconds() -> None:
    """Enough to tell 1 ms from 1.4 ms, and to see a stall."""
    assert len(SECONDS) == 22
    assert (SECONDS[0], SECONDS[-1]) == (0.0005, 10.0)
    assert list(SECONDS) == sorted(SECONDS)


def test_series_of_a_variant_exist_before_the_first_request(metrics: Metrics) -> None:
    """An alert on a rate must find its series at zero."""
    metrics.declare_variant(TARGET)
    found = samples(metrics)
    where = tuple(sorted({"endpoint": "/classify", "model": "tiny", "version": "1", "variant": "int8"}.items()))
    for code in ("200", "429", "500", "503", "504"):
        assert found[("intbert_requests_total", tuple(sorted((*where, ("code", code)))))] == 0
    count = ("intbert_compute_duration_seconds_count", (("model", "tiny"), ("variant", "int8")))
    assert found[count] == 0


def test_one_answered_request_is_counted_once(metrics: Metrics) -> None:
    """Counters that double are a defect of others: exactly one request, with its stages, and nothing else."""
    metrics.declare_variant(TARGET)
    before = samples(metrics)
    metrics.request_answered(
        target=TARGET,
        durations=Durations(tokenize_s=0.001, queue_s=0.0, compute_s=0.01, postprocess_s=0.0001),
        tokens=7,
        truncated=0,
    )
    metrics.request_finished(endpoint="/classify", target=TARGET, code=200, duration_s=0.012)
    after = samples(metrics)
    changed = {key[0] for key in after if after[key] != before.get(key) and not key[0].endswith("_bucket")}
    changed -= {name for name in changed if name.startswith("intbert_process_")}
    stages = ("request", "tokenize", "queue", "compute", "postprocess")
    counts = {f"intbert_{stage}_duration_seconds_count" for stage in stages}
    sums = {f"intbert_{stage}_duration_seconds_sum" for stage in stages if stage != "queue"}
    tokens = {"intbert_request_tokens_count", "intbert_request_tokens_sum"}
    assert changed == {"intbert_requests_total"} | counts | sums | tokens
    labels = (("model", "tiny"), ("variant", "int8"))
    assert after[("intbert_request_duration_seconds_sum", labels)] == pytest.approx(0.012)


def test_unknown_targets_make_no_duration(metrics: Metrics) -> None:
    """A request that never reached a model counts, without inventing a variant."""
    metrics.request_finished(endpoint="/classify", target=Target(), code=422, duration_s=0.1)
    found = samples(metrics)
    key = (
        "intbert_requests_total",
        (("code", "422"), ("endpoint", "/classify"), ("model", ""), ("variant", ""), ("version", "")),
    )
    assert found[key] == 1
    assert not [key for key in found if key[0] == "intbert_request_duration_seconds_count"]


def test_metrics_implement_the_runtimes_observer(metrics: Metrics) -> None:
    """Every method of the protocol, with the very parameters: the runtime calls them by name."""
    for name, method in inspect.getmembers(observer.Observer, inspect.isfunction):
        if name.startswith("on_"):
            wanted = list(inspect.signature(method).parameters)
            assert list(inspect.signature(getattr(Metrics, name)).parameters) == wanted, name
    checked: observer.Observer = metrics  # for mypy
    assert checked is metrics


def test_label_values_agree_with_the_runtime() -> None:
    """The values that the runtime may report are those whose series are created at the start."""
    assert set(observer.DropReason.__args__) == set(DROP_REASONS)  # type: ignore[attr-defined]
    assert set(observer.ShadowDropReason.__args__) == set(SHADOW_DROP_REASONS)  # type: ignore[attr-defined]
    assert set(observer.WorkerState.__args__) == set(WORKER_STATES)  # type: ignore[attr-defined]


def test_a_worker_is_in_exactly_one_state(metrics: Metrics) -> None:
    """Sum over states is one, and the change is a sign of life."""
    metrics.on_worker(worker=0, state="busy")
    metrics.on_worker(worker=0, state="idle")
    found = samples(metrics)
    states = {dict(key[1])["state"]: value for key, value in found.items() if key[0] == "intbert_worker_state"}
    assert states == {"idle": 1, "busy": 0, "stopped": 0}
    assert found[("intbert_worker_last_progress_timestamp_seconds", (("worker", "0"),))] == 1234.5


def test_the_oldest_entry_ages_between_two_reports() -> None:
    """Workers that hang report nothing: the age must grow all the same, and be zero for an empty queue."""
    now = [1000.0]
    metrics = Metrics(CollectorRegistry(), clock=lambda: now[0])
    key = ("intbert_queue_oldest_age_seconds", ())
    metrics.on_queue(tokens=10, oldest_age_s=0.5)
    now[0] = 1030.0
    assert samples(metrics)[key] == 30.5
    metrics.on_queue(tokens=0, oldest_age_s=0.0)
    now[0] = 1060.0
    assert samples(metrics)[key] == 0


def test_arena_is_asked_at_every_scrape(metrics: Metrics) -> None:
    """Memory in use is read when it is reported, not when it changed."""
    sizes = iter([10.0, 20.0])
    metrics.watch_arenas(lambda *_: next(sizes))
    metrics.declare_variant(TARGET)
    key = ("intbert_variant_arena_bytes", (("model", "tiny"), ("variant", "int8"), ("version", "1")))
    assert [samples(metrics)[key], samples(metrics)[key]] == [10.0, 20.0]


def test_a_loaded_variant_shows_its_weights(metrics: Metrics) -> None:
    """Bytes as the engine counts them, and the hash of what is served."""
    metrics.on_variant_loaded(
        model="tiny", version="1", variant="int8", sha256="ab" * 32, weights_bytes=12345, default=True
    )
    found = samples(metrics)
    labels = (("model", "tiny"), ("variant", "int8"), ("version", "1"))
    assert found[("intbert_model_weights_bytes", labels)] == 12345
    told = {"sha256": "ab" * 32, "default": "true"}
    assert found[("intbert_model_info", tuple(sorted((*labels, *told.items()))))] == 1


def test_a_batch_shows_its_size_and_padding(metrics: Metrics) -> None:
    """One batch is one observation in each of the three histograms."""
    metrics.on_batch(
        model="tiny", variant="int8", tokens=40, sequences=3, compute_s=0.01, engine_cpu_s=0.5, padding_ratio=0.25
    )
    found = samples(metrics)
    labels = (("model", "tiny"), ("variant", "int8"))
    sums = [found[(f"intbert_batch_{name}_sum", labels)] for name in ("tokens", "sequences", "padding_ratio")]
    assert sums == [40, 3, 0.25]


def test_a_shadow_comparison_counts_its_inputs(metrics: Metrics) -> None:
    """Inputs, disagreements of the task's kind, one distance each; a dropped request by its reason."""
    metrics.declare_variant(TARGET)
    metrics.on_shadow(model="tiny", variant="int8", decision="label", disagreements=1, logit_abs_diffs=[0.25, 0.5])
    metrics.on_shadow_drop(model="tiny", variant="int8", reason="busy")
    found = samples(metrics)
    labels = (("model", "tiny"), ("variant", "int8"))
    names = ("comparisons_total", "label_disagreements_total", "span_disagreements_total", "logit_abs_diff_sum")
    assert [found[(f"intbert_shadow_{name}", labels)] for name in names] == [2, 1, 0, 0.75]
    dropped = {key[1][1][1]: value for key, value in found.items() if key[0] == "intbert_shadow_dropped_total"}
    assert dropped == {"busy": 1, "too_large": 0, "late": 0, "failed": 0}
