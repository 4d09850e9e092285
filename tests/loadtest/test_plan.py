"""A whole run against a stub that speaks both endpoints: the files that users get."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadtest.plan import EndpointResult, Plan, measure_endpoint
from loadtest.report import run_document, write_report
from loadtest.server import ServerError, describe, endpoints_of
from loadtest.texts import TextError, classify_calls, qa_calls

ROOT = Path(__file__).resolve().parents[2]
PLAN = Plan(
    duration_s=0.3, saturation_s=0.2, warmup_s=0.05, users=2, rates=(20, 40), slo_ms={"/classify": 50, "/qa": 50}
)
MODELS = [{"name": "a<b", "task": "text-classification", "variants": {"int8": {}, "fp32": {}}}]


class Stub(BaseHTTPRequestHandler):
    """Answers every POST with an empty object, and /models."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Any endpoint."""
        self.rfile.read(int(self.headers["content-length"]))
        self._answer({})

    def do_GET(self) -> None:
        """/models."""
        self._answer({"models": MODELS})

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Quiet."""


@pytest.fixture
def stub_url() -> Iterator[str]:
    """A stub server for one test."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def measure(url: str, endpoint: str = "/classify") -> EndpointResult:
    """One short run."""
    calls = {variant: classify_calls(None, variant=variant, root=ROOT, seed=1) for variant in PLAN.variants}
    return asyncio.run(measure_endpoint(url, endpoint, calls, PLAN, progress=str))


def test_a_run_measures_every_variant_at_every_rate(stub_url: str) -> None:
    """Both variants are measured at both rates, in turns, and all requests are answered."""
    result = measure(stub_url)
    assert [(phase.rate, phase.variant) for phase in result.phases] == [
        (r, v) for r in (20, 40) for v in ("int8", "fp32")
    ]
    assert all(phase.summary.failures == {} for phase in result.phases)
    assert all(summary.answered_per_s > 0 for summary in result.saturation.values())


def test_the_report_stands_alone_and_escapes(stub_url: str, tmp_path: Path) -> None:
    """JSON is valid, the page has a plot of each kind, loads nothing, and escapes what the server says."""
    result = measure(stub_url)
    document = run_document([result], PLAN, server=describe(stub_url))
    json_path, html_path = write_report(tmp_path / "new", document, [result])
    assert json.loads(json_path.read_text())["endpoints"][0]["phases"][0]["variant"] == "int8"
    page = html_path.read_text()
    assert page.count("<svg") == 3
    assert "<script" not in page
    assert "src=" not in page
    assert "a<b" not in page


def test_endpoints_need_a_model_with_all_variants() -> None:
    """An endpoint without both variants is not measured; none at all is an error that names them."""
    assert endpoints_of({"models": MODELS}, ["int8", "fp32"]) == ["/classify"]
    with pytest.raises(ServerError, match="int4"):
        endpoints_of({"models": MODELS}, ["int4"])


def test_a_server_that_is_not_there_is_named() -> None:
    """A wrong address is an error with the address in it."""
    with pytest.raises(ServerError, match="127.0.0.1:9"):
        describe("http://127.0.0.1:9")


def test_texts_are_real_and_of_mixed_lengths() -> None:
    """The built-in texts are prose of the project: short and long, the same for both variants."""
    calls = [classify_calls(None, variant=variant, root=ROOT, seed=1) for variant in ("int8", "fp32")]
    texts = [[call.body["inputs"] for call in part] for part in calls]
    assert texts[0] == texts[1]
    words = sorted(len(text.split()) for text in texts[0])
    assert len(words) > 50
    assert words[0] < 10
    assert words[-1] > 30
    assert len(qa_calls(None, variant="int8", root=ROOT, seed=1)) > 20


def test_texts_from_files(tmp_path: Path) -> None:
    """A TSV gives its text column, quotes and all; plain lines give lines; SQuAD's format gives pairs."""
    table, lines, squad = tmp_path / "a.tsv", tmp_path / "b.txt", tmp_path / "c.json"
    table.write_text('sentence\tlabel\n"good" film\t1\n')
    lines.write_text("one\n\ntwo\n")
    squad.write_text(json.dumps({"data": [{"paragraphs": [{"context": "C", "qas": [{"question": "Q"}]}]}]}))
    assert [call.body["inputs"] for call in classify_calls(table, variant="int8", root=ROOT, seed=1)] == ['"good" film']
    assert {call.body["inputs"] for call in classify_calls(lines, variant="int8", root=ROOT, seed=1)} == {"one", "two"}
    assert qa_calls(squad, variant="int8", root=ROOT, seed=1)[0].body["question"] == "Q"


@pytest.mark.parametrize("content", ["{}", "no json", '{"data": [{}]}'])
def test_a_wrong_qa_file_is_named(tmp_path: Path, content: str) -> None:
    """A file that is not in SQuAD's format is an error with its name."""
    path = tmp_path / "wrong.json"
    path.write_text(content)
    with pytest.raises(TextError, match="wrong.json"):
        qa_calls(path, variant="int8", root=ROOT, seed=1)
