"""Figures and charts from /metrics, and the cards of /models."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import RunningServer
from tests.api.page.conftest import Watched

PARSE = """async ([text, name, wanted]) => {
    const { parse, total } = await import("/assets/prometheus.js");
    return total(parse(text), name, wanted);
}"""
QUANTILE = "async ([q, found]) => (await import('/assets/prometheus.js')).quantile(q, found)"
TICK = "async ([value, count]) => (await import('/assets/chart.js')).tickStep(value, count)"
CUT = "async ([text, spans]) => (await import('/assets/spans.js')).cutAtSpans(text, spans)"


@pytest.fixture(scope="module")
def modules(browser: Browser, page_server: RunningServer) -> Iterator[Page]:
    """A place where the page's modules can be called."""
    page = browser.new_page()
    page.goto(page_server.url + "/assets/icon.svg")
    yield page
    page.close()


def test_a_request_shows_in_figures_and_charts(watched: Watched) -> None:
    """One comparison is one answered request; rate and latency of both variants appear, in words too."""
    page = watched.open()
    answered = page.locator(".tile").filter(has_text="answered").locator("dd").first
    before = int(answered.inner_text())
    page.fill("#classify-text", "the film")
    page.click("#classify-form [type=submit]")
    page.wait_for_selector(".verdict")
    expect(answered).to_have_text(str(before + 1))
    for name in ("int8", "FP32"):
        legend = page.locator("#legend-latency li").filter(has_text=name)
        expect(legend).to_contain_text("ms")
    expect(page.locator("#chart-latency .line").first).to_be_attached()
    assert "int8" in (page.locator("#chart-rate svg").get_attribute("aria-label") or "")


def test_nobody_looks_nobody_asks(watched: Watched) -> None:
    """A hidden page sends nothing, and begins again when it is seen."""
    page = watched.open()
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)  # noqa: FBT003 - the value of the property in the browser
    page.wait_for_timeout(500)
    asked = len(watched.asked)
    page.wait_for_timeout(2600)
    assert len(watched.asked) == asked
    with page.expect_request(lambda request: request.url.endswith("/metrics")):
        page.evaluate(hide, False)  # noqa: FBT003 - see above


def test_models_are_shown_as_served(watched: Watched, page_server: RunningServer) -> None:
    """A card for each version, with its hashes in full and a link to its report."""
    page = watched.open()
    with page_server.client() as client:
        entries = client.get("/models").json()["models"]
        assert page.locator(".model").count() == len(entries)
        for entry in entries:
            card = page.get_by_label(f"{entry['name']} version {entry['version']}", exact=True)
            found = card.evaluate("card => card.textContent")
            hashes = [entry["sha256"], *(variant["sha256"] for variant in entry["variants"].values())]
            assert all(value in found for value in hashes)
            report = client.get("/" + (card.locator("a.report").get_attribute("href") or ""))
            assert (report.status_code, report.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_metrics_are_read_as_prometheus_does(modules: Page, page_server: RunningServer) -> None:
    """The same sums as the reference parser's, for every name in the service's own text."""
    with page_server.client() as client:
        text = client.get("/metrics").text
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    for name, value in sums.items():
        if name.endswith(("_count", "_sum", "_bucket", "_total", "_bytes")):
            assert modules.evaluate(PARSE, [text, name, {}]) == pytest.approx(value), name


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('m{a="x\\\\y",b="1"} 2.5', {"a": "x\\y"}),
        ('m{a="say \\"hi\\", {you}"} 2.5e0', {"a": 'say "hi", {you}'}),
        ('m{a="two\\nlines"} 2.5 1700000000', {"a": "two\nlines"}),
        ("m 2.5", {}),
    ],
)
def test_labels_are_unescaped(modules: Page, line: str, wanted: dict[str, str]) -> None:
    """Quotes, braces, backslashes and line breaks in a label are the label's own."""
    assert modules.evaluate(PARSE, [f"# HELP m {line}\nother 7\n{line}\n", "m", wanted]) == 2.5


@pytest.mark.parametrize(
    ("q", "found", "value"),
    [
        (0.5, {"count": 10, "buckets": [[1, 0], [2, 10]]}, 1.5),
        (0.5, {"count": 4, "buckets": [[1, 2], [2, 4]]}, 1.0),
        (0.95, {"count": 100, "buckets": [[1, 90], [2, 100]]}, 1.5),
        (0.5, {"count": 0, "buckets": [[1, 0]]}, None),
        (0.5, {"count": 2, "buckets": [[1, 0], [1e300, 2]]}, pytest.approx(5e299)),
    ],
)
def test_quantiles_are_interpolated(modules: Page, q: float, found: dict[str, Any], value: float | None) -> None:
    """Linear within the bucket that holds the rank, none without observations."""
    assert modules.evaluate(QUANTILE, [q, found]) == value


def test_ticks_are_round(modules: Page) -> None:
    """Four steps reach the highest value, and a step is 1, 2, 2.5 or 5 times a power of ten."""
    for value in (1e-6, 0.07, 0.8, 1, 3.99, 4, 4.01, 17, 99, 12345):
        step = modules.evaluate(TICK, [value, 4])
        assert value <= 4 * step * (1 + 1e-9)
        assert float(f"{step:.3e}".partition("e")[0]) in {1.0, 2.0, 2.5, 5.0}
        assert 4 * step <= 2.5 * value * (1 + 1e-9)


@pytest.mark.parametrize(
    ("spans", "owners"),
    [
        ([], [[]]),
        ([(2, 5, "a")], [[], ["a"], []]),
        ([(0, 8, "a"), (2, 5, "b")], [["a"], ["a", "b"], ["a"]]),
        ([(0, 4, "a"), (2, 8, "b")], [["a"], ["a", "b"], ["b"]]),
        ([(3, 3, "a"), (6, 99, "b")], [[]]),
    ],
)
def test_texts_are_cut_where_answers_begin_and_end(modules: Page, spans: list[Any], owners: list[Any]) -> None:
    """The pieces make up the text; each knows every answer that covers it; empty and impossible spans are nothing."""
    given = [{"start": start, "end": end, "owner": owner} for start, end, owner in spans]
    pieces = modules.evaluate(CUT, ["abcdefgh", given])
    assert "".join(piece["text"] for piece in pieces) == "abcdefgh"
    assert [piece["owners"] for piece in pieces] == owners
