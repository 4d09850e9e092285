"""The Grafana dashboard as code. `python -m deploy.dashboard` writes grafana/dashboards/intbert.json."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

TARGET = Path(__file__).parent / "grafana" / "dashboards" / "intbert.json"
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
STAGES = ("tokenize", "queue", "compute", "postprocess")


@dataclass(frozen=True, kw_only=True)
class Query:
    """One curve or family of curves."""

    expression: str
    legend: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One graph. `unit` in Grafana's names: s, bytes, reqps, short, percentunit."""

    title: str
    unit: str
    queries: Sequence[Query]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Graphs that belong together."""

    title: str
    panels: Sequence[Panel]


def quantile(share: float, histogram: str) -> Query:
    """A quantile of a histogram for each variant."""
    expression = f"histogram_quantile({share}, sum by (le, model, variant) (rate({histogram}_bucket[1m])))"
    return Query(expression=expression, legend=f"{{{{model}}}} {{{{variant}}}} p{share * 100:g}")


def mean(histogram: str) -> Query:
    """The mean of a histogram for each variant."""
    total, count = (f"sum by (model, variant) (rate({histogram}_{part}[1m]))" for part in ("sum", "count"))
    return Query(expression=f"{total} / {count}", legend="{{model}} {{variant}}")


COMPARISON = Row(
    title="int8 beside FP32",
    panels=(
        Panel(
            title="Latency",
            unit="s",
            queries=tuple(quantile(share, "intbert_request_duration_seconds") for share in (0.5, 0.95, 0.99)),
        ),
        Panel(
            title="Requests answered",
            unit="reqps",
            queries=(
                Query(
                    expression='sum by (model, variant) (rate(intbert_requests_total{variant!="", code="200"}[1m]))',
                    legend="{{model}} {{variant}}",
                ),
            ),
        ),
        Panel(
            title="Tokens per second",
            unit="short",
            queries=(
                Query(
                    expression="sum by (model, variant) (rate(intbert_batch_tokens_sum[1m]))",
                    legend="{{model}} {{variant}}",
                ),
            ),
        ),
        Panel(title="Compute time of a request, mean", unit="s", queries=(mean("intbert_compute_duration_seconds"),)),
        Panel(
            title="Memory: weights and buffers",
            unit="bytes",
            queries=(
                Query(expression="intbert_model_weights_bytes", legend="{{model}} {{variant}} weights"),
                Query(expression="intbert_variant_arena_bytes", legend="{{model}} {{variant}} buffers"),
            ),
        ),
        Panel(title="Sequences in a batch, mean", unit="short", queries=(mean("intbert_batch_sequences"),)),
    ),
)

SHADOW = Row(
    title="Shadow comparison: what FP32 would have said",
    panels=(
        Panel(
            title="Share of compared inputs with the same label or span",
            unit="percentunit",
            queries=(
                Query(
                    expression=(
                        "1 - (sum by (model, variant) (rate(intbert_shadow_label_disagreements_total[5m])) "
                        "+ sum by (model, variant) (rate(intbert_shadow_span_disagreements_total[5m]))) "
                        "/ sum by (model, variant) (rate(intbert_shadow_comparisons_total[5m]))"
                    ),
                    legend="{{model}} {{variant}}",
                ),
            ),
        ),
        Panel(
            title="Largest difference of a logit",
            unit="short",
            queries=(quantile(0.5, "intbert_shadow_logit_abs_diff"), quantile(0.99, "intbert_shadow_logit_abs_diff")),
        ),
        Panel(
            title="Inputs compared, requests not compared",
            unit="short",
            queries=(
                Query(
                    expression="sum by (model, variant) (rate(intbert_shadow_comparisons_total[1m]))",
                    legend="{{model}} {{variant}} compared",
                ),
                Query(
                    expression="sum by (model, reason) (rate(intbert_shadow_dropped_total[1m]))",
                    legend="{{model}} dropped: {{reason}}",
                ),
            ),
        ),
    ),
)

ERRORS = Row(
    title="Errors and load",
    panels=(
        Panel(
            title="Requests by status",
            unit="reqps",
            queries=(Query(expression="sum by (code) (rate(intbert_requests_total[1m])) > 0", legend="{{code}}"),),
        ),
        Panel(
            title="Requests without an answer, by reason",
            unit="reqps",
            queries=(
                Query(expression="sum by (reason) (rate(intbert_request_failures_total[1m]))", legend="{{reason}}"),
            ),
        ),
        Panel(
            title="Queue and requests in flight",
            unit="short",
            queries=(
                Query(expression="intbert_queue_tokens", legend="tokens that wait"),
                Query(expression="intbert_inflight_requests", legend="requests in flight"),
            ),
        ),
        Panel(
            title="Oldest waiting entry",
            unit="s",
            queries=(Query(expression="intbert_queue_oldest_age_seconds", legend="age"),),
        ),
    ),
)

INSIDE = Row(
    title="Inside the service",
    panels=(
        *(
            Panel(title=f"Stage: {stage}", unit="s", queries=(quantile(0.95, f"intbert_{stage}_duration_seconds"),))
            for stage in STAGES
        ),
        Panel(
            title="Prediction cache: share of sequences remembered",
            unit="percentunit",
            queries=(
                Query(
                    expression=(
                        "sum by (model, variant) (rate(intbert_cache_hits_total[1m])) "
                        "/ (sum by (model, variant) (rate(intbert_cache_hits_total[1m])) "
                        "+ sum by (model, variant) (rate(intbert_cache_misses_total[1m])))"
                    ),
                    legend="{{model}} {{variant}}",
                ),
            ),
        ),
        Panel(title="Share of padding", unit="percentunit", queries=(mean("intbert_batch_padding_ratio"),)),
        Panel(title="Tokens of a request, mean", unit="short", queries=(mean("intbert_request_tokens"),)),
        Panel(
            title="Processor",
            unit="short",
            queries=(Query(expression="rate(intbert_process_cpu_seconds_total[1m])", legend="cores used"),),
        ),
        Panel(
            title="Memory of the process",
            unit="bytes",
            queries=(Query(expression="intbert_process_resident_memory_bytes", legend="resident"),),
        ),
    ),
)

ROWS = (COMPARISON, SHADOW, ERRORS, INSIDE)


def expressions() -> list[str]:
    """Every expression of the dashboard."""
    return [query.expression for row in ROWS for panel in row.panels for query in panel.queries]


def render() -> str:
    """The dashboard's JSON."""
    board = dashboard.Dashboard("intbert").uid("intbert").tags(["intbert"]).refresh("5s").time("now-15m", "now")
    for row in ROWS:
        board = board.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            board = board.with_panel(_graph(panel, span=8 if row in (COMPARISON, SHADOW) else 6))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _graph(panel: Panel, *, span: int) -> timeseries.Panel:
    graph = timeseries.Panel().title(panel.title).unit(panel.unit).min(0).datasource(SOURCE).span(span).height(8)
    for index, query in enumerate(panel.queries):
        reference = chr(ord("A") + index)
        graph = graph.with_target(
            prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(reference)
        )
    return graph


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
