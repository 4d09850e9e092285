"""docs/results.md, written from the committed records: nobody types a figure."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy.cells import FP32, INT8, VARIANTS, Cell, Task
from benchmarks.accuracy.published import AVERAGE, Published, PublishedRow, load_published
from benchmarks.accuracy.records import Record
from benchmarks.accuracy.summary import Figure, Table, bars, behind, elsewhere_difference
from benchmarks.page import version_list
from benchmarks.table import NOTHING, markdown, section
from intbert.runtime import figures

METHOD = Path(__file__).parent / "method.md"
NOTES = Path(__file__).parent / "notes.md"
MEBIBYTE = 2**20


def page_text(table: Table) -> str:
    """The whole page."""
    parts = [
        "# Results",
        "Generated from the records in `benchmarks/results/accuracy` by `make results`; edit "
        "`benchmarks/accuracy/method.md` and `benchmarks/accuracy/notes.md`, not this page.",
        METHOD.read_text(encoding="utf-8").strip(),
        section("Difference to FP32", difference_table(table)),
        section("Accuracy", metric_tables(table)),
        section("Promises", bar_table(table)),
        section("Size", size_table(table)),
        section("Other domains", elsewhere_table(table)),
        section("What the papers report", published_tables(load_published(), table.tasks)),
        NOTES.read_text(encoding="utf-8").strip() if NOTES.is_file() else "",
        section("Conditions", conditions(table)),
        section("Every cell", cell_tables(table)),
        section("Not measured", gaps(table)) if table.missing() or table.unpaired() else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def difference_table(table: Table) -> str:
    """Variants down, tasks across, points of the main metric."""
    rows = [
        [
            f"`{variant}`",
            *(signed_figure(table.difference(task, variant), task) for task in table.tasks),
            signed(table.mean_difference(variant)),
        ]
        for variant in VARIANTS
        if variant != FP32
    ]
    lead = f"int8 is not better than `dq` on: {behind(table, 'dq')}; not better than `ptq` on: {behind(table, 'ptq')}."
    return f"{markdown(['variant', *metric_heads(table.tasks), 'mean'], rows)}\n\n{lead}"


def metric_tables(table: Table) -> str:
    """The main metric of each task with the mean of the tasks, then the others."""
    rows = [
        [
            f"`{variant}`",
            *(plain_figure(table.figure(task, variant, task.metric), task) for task in table.tasks),
            plain(table.mean(variant)),
        ]
        for variant in VARIANTS
    ]
    others = [(task, metric) for task in table.tasks for metric in task.metrics[1:]]
    more = [
        [f"`{variant}`", *(plain_figure(table.figure(task, variant, metric), task) for task, metric in others)]
        for variant in VARIANTS
    ]
    parts = [markdown(["variant", *metric_heads(table.tasks), "mean"], rows)]
    if others:
        heads = [f"{task.label}, {metric_label(metric)}" for task, metric in others]
        parts += ["The other metrics:", markdown(["variant", *heads], more)]
    return "\n\n".join(parts)


def metric_heads(tasks: Sequence[Task]) -> list[str]:
    """ "MRPC, F1"."""
    return [f"{task.label}, {metric_label(task.metric)}" for task in tasks]


def metric_label(name: str) -> str:
    """As people write it."""
    return {"f1": "F1", "matthews": "Matthews", "pearson": "Pearson", "spearman": "Spearman"}.get(
        name, name.replace("_", " ")
    )


def bar_table(table: Table) -> str:
    """What was promised before anything was measured."""
    rows = [
        [
            bar.what,
            f">= {bar.wanted:+.2f}",
            bar.aim or NOTHING,
            signed(bar.reached),
            NOTHING if bar.reached is None else "held" if bar.held else "missed",
        ]
        for bar in bars(table)
    ]
    return markdown(["points of", "wanted", "hoped for", "reached", ""], rows)


def size_table(table: Table) -> str:
    """Of the variant's file: MiB by task, and its share of the original at four bytes a parameter."""
    rows = []
    for variant in VARIANTS:
        cells = []
        for task in table.tasks:
            sizes = {record.size_bytes for record in table.of(task, variant).values()}
            cells.append(f"{max(sizes) / MEBIBYTE:.1f}" if sizes else NOTHING)
        share = table.size_share(variant)
        low, high = (f"{100 * value:.1f}" for value in share) if share is not None else ("", "")
        rows.append([f"`{variant}`", *cells, NOTHING if not low else f"{low} %" if low == high else f"{low}-{high} %"])
    heads = [f"{task.label}, MiB" for task in table.tasks]
    note = "`fp32` is stored in half precision and computes in single."
    return f"{markdown(['variant', *heads, 'of FP32 at four bytes a parameter'], rows)}\n\n{note}"


def elsewhere_table(table: Table) -> str:
    """int8 beside FP32 where the texts are of another kind than what was trained on."""
    rows = []
    for task in table.tasks:
        for file in task.elsewhere:
            scores = [
                next((r.elsewhere[file] for r in table.of(task, variant).values() if file in r.elsewhere), None)
                for variant in (FP32, INT8)
            ]
            found = elsewhere_difference(table, task, file)
            rows.append(
                [
                    f"`{file}`",
                    f"{task.label}, {metric_label(task.metric)}",
                    NOTHING if scores[0] is None else f"{scores[0].examples:,}",
                    *(NOTHING if score is None else plain(score.metrics[task.metric]) for score in scores),
                    signed_figure(found, task),
                ]
            )
    return markdown(["set", "model, metric", "examples", "FP32", "int8", "difference"], rows)


def published_tables(sources: Sequence[Published], tasks: Sequence[Task]) -> str:
    """Theirs, with the difference to their own FP32 in brackets."""
    parts = [
        "Theirs, not ours, and of other backbones and training data: only the differences to their own FP32, in "
        "brackets, can be set beside the first table."
    ]
    for source in sources:
        columns = [task for task in tasks if any(task.name in row.values for row in source.rows)]
        names = [*(task.name for task in columns)]
        heads = metric_heads(columns)
        if any(AVERAGE in row.values for row in source.rows):
            names.append(AVERAGE)
            heads.append("their average")
        rows = [[row.name, *(theirs(source, row, name) for name in names)] for row in source.rows]
        parts += [f"**{source.paper}**. {source.backbone}.", markdown(["system", *heads], rows)]
    return "\n\n".join(parts)


def theirs(source: Published, row: PublishedRow, name: str) -> str:
    """ "87.74 (-0.72)"."""
    if name not in row.values:
        return NOTHING
    difference = source.difference(row, name)
    return plain(row.values[name]) + (f" ({signed(difference)})" if difference is not None else "")


def conditions(table: Table) -> str:
    """What is needed to judge, or repeat, the figures."""
    records = list(table.records.values())
    if not records:
        return "No record yet."
    dates = sorted(record.measured_at for record in records)
    lines = [
        f"- {len(records)} cells, evaluated {dates[0]} to {dates[-1]}",
        f"- trained and calibrated on: {listed(record.device for record in records)}",
        f"- engines: {listed(record.engine for record in records)}",
        f"- commits: {listed(record.commit for record in records)}",
        f"- {listed(version_list(record.versions) for record in records)}",
    ]
    return "\n".join([*lines, "", data_table(table)])


def data_table(table: Table) -> str:
    """The files that training and evaluation read."""
    files = sorted({pair for record in table.records.values() for pair in record.data_sha256.items()})
    return markdown(["file", "SHA-256"], [[f"`{name}`", f"`{digest}`"] for name, digest in files])


def listed(values: object) -> str:
    """Each once, in order."""
    return "; ".join(sorted({str(value) for value in values}))  # type: ignore[attr-defined]


def cell_tables(table: Table) -> str:
    """One table a task: every seed's figures, what it took, and when."""
    parts = []
    for task in table.tasks:
        found = [record for variant in VARIANTS for record in table.of(task, variant).values()]
        if found:
            heads = ["cell", *map(metric_label, task.metrics), "examples", "may differ by", "trained, s", "evaluated"]
            parts.append(section(task.label, markdown(heads, [cell_row(table, task, item) for item in found]), 3))
    return "\n\n".join(parts)


def cell_row(table: Table, task: Task, record: Record) -> list[str]:
    """The cell's figures and how far a repetition may be off."""
    trained = ", ".join(f"{stage} {seconds:,.0f}" for stage, seconds in record.stage_s.items())
    return [
        f"`{record.cell}`",
        *(plain(record.score.metrics[metric]) for metric in task.metrics),
        f"{record.score.examples:,}",
        f"{table.spread(task, record.variant):.2f}",
        trained or NOTHING,
        record.measured_at,
    ]


def gaps(table: Table) -> str:
    """Cells without a record, and cells that can't be compared."""
    lines = [f"- no record: {cell_list(table.missing())}"] if table.missing() else []
    if table.unpaired():
        lines.append(f"- made of another teacher than the FP32 cell of their seed: {cell_list(table.unpaired())}")
    return "\n".join(lines)


def cell_list(cells: Sequence[Cell]) -> str:
    """By name, seeds of one variant together: "`mrpc/dq/0,2`"."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        seeds.setdefault((cell.task, cell.variant), []).append(str(cell.seed))
    return ", ".join(f"`{task}/{variant}/{','.join(found)}`" for (task, variant), found in seeds.items())


def plain_figure(figure: Figure | None, task: Task) -> str:
    """ "89.12 ± 0.45", without deviation for a single seed."""
    return NOTHING if figure is None else plain(figure.mean) + spread_of(figure, task)


def signed_figure(figure: Figure | None, task: Task) -> str:
    """ "-0.21 ± 0.30"."""
    return NOTHING if figure is None else signed(figure.mean) + spread_of(figure, task)


def spread_of(figure: Figure, task: Task) -> str:
    """The deviation where there is one, and how many seeds it is of when some are missing."""
    deviation = f" ± {figure.deviation:.2f}" if figure.deviation is not None else ""
    wanted = len(task.seeds)
    return deviation + (f" ({figure.seeds} of {wanted} seeds)" if figure.seeds < wanted else "")


def plain(value: float | None) -> str:
    """Two decimals."""
    return NOTHING if value is None else f"{value:.2f}"


def signed(value: float | None) -> str:
    """Two decimals and the sign; no minus before a zero."""
    return NOTHING if value is None else figures.signed(value)
