"""The command line: documents, exit codes, one line for every error, and no training library where none is needed."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnx
import pytest

from intbert.cli.entry import main
from intbert.config import Settings, explained, variable
from tests.api.packages import reference_digest, write_tiny, write_tiny_qa

HEAVY = ("torch", "transformers", "datasets", "accelerate")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one tiny model."""
    store = tmp_path_factory.mktemp("store")
    write_tiny(store)
    return store


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled texts with a header."""
    path = tmp_path_factory.mktemp("data") / "dev.tsv"
    path.write_text("sentence\tlabel\nthe film was very good\tpositive\nbad plot\t0\ngood\t1\n", encoding="utf-8")
    return path


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: object, **variables: str) -> Done:
    """`intbert` with these arguments, and no settings but these, in this process: a new one would take a second."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INTBERT_")}
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, inherited | variables, clear=True),
        patch.object(sys, "argv", ["intbert", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
    return Done(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def document(*arguments: object, **variables: str) -> Any:
    """What `--json` prints: exactly one document on stdout."""
    done = run(*arguments, "--json", **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(*arguments: object, code: int = 2, **variables: str) -> str:
    """The error's text; nothing on stdout, no traceback."""
    done = run(*arguments, **variables)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_models_document(store: Path) -> None:
    """[{name, version, task, variants: {name: {bytes, parameters, sha256}}}], nothing else."""
    (entry,) = document("models", "--store", store)
    assert set(entry) == {"name", "version", "task", "variants"}
    assert (entry["name"], entry["version"], entry["task"]) == ("tiny", "1", "text-classification")
    assert set(entry["variants"]) == {"int8", "fp32"}
    for name, file in (("int8", "int8.safetensors"), ("fp32", "fp32.onnx")):
        variant = entry["variants"][name]
        assert set(variant) == {"bytes", "parameters", "sha256"}
        assert variant["bytes"] == (store / "tiny/1" / file).stat().st_size


def test_the_store_comes_from_option_variable_or_the_working_directory(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order."""
    assert document("models", INTBERT_STORE=str(store))[0]["name"] == "tiny"
    (tmp_path / "empty").mkdir()
    assert document("models", "--store", tmp_path / "empty", INTBERT_STORE=str(store)) == []
    monkeypatch.chdir(tmp_path)
    assert "no model store at model_store" in refusal("models")


def test_a_package_is_added_once(store: Path, tmp_path: Path) -> None:
    """The copy is listed as the original; a second time is refused; `--store` works on either side of `add`."""
    package = store / "tiny" / "1"
    added = document("models", "add", package, "--store", tmp_path / "new")
    assert [added] == document("models", "--store", tmp_path / "new") == document("models", "--store", store)
    assert "never replaced" in refusal("models", "add", package, "--store", tmp_path / "new", code=1)
    assert run("models", "--store", tmp_path / "other", "add", package).returncode == 0
    assert (tmp_path / "other" / "tiny" / "1" / "manifest.json").is_file()


def test_doctor_says_whether_a_server_would_work(store: Path, tmp_path: Path) -> None:
    """Exit code 0 and a table, or 1 with what is wrong; as a document both ways."""
    healthy = document("doctor", "--store", store)
    assert healthy["ok"]
    assert {check["name"] for check in healthy["checks"]} >= {"cpu", "kernels", "threads", "cgroup", "store", "tiny/1"}
    assert "WRONG" not in run("doctor", "--store", store).stdout
    sick = run("doctor", "--store", tmp_path / "none")
    assert (sick.returncode, sick.stderr) == (1, "")
    assert "no model store" in sick.stdout
    assert "INTBERT_CACHE_BYTES" in refusal("doctor", INTBERT_CACHE_BYTES="10")


def test_classify_document_is_the_services_answer(store: Path) -> None:
    """The same fields as POST /classify, with the digests of the specification."""
    texts = ["the film was very good", "bad plot"]
    answer = document("classify", *texts, "--digest", "--top-k", "1", "--store", store)
    assert set(answer) == {"results", "usage", "model", "digests"}
    assert [len(result) for result in answer["results"]] == [1, 1]
    assert answer["digests"] == [reference_digest(1, text) for text in texts]
    pair = document("classify", "good", "--text-pair", "bad", "--variant", "fp32", "--store", store)
    assert (len(pair["results"]), pair["model"]["variant"]) == (1, "fp32")


@pytest.fixture(scope="module")
def qa_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one tiny span question model."""
    store = tmp_path_factory.mktemp("qa-store")
    write_tiny_qa(store)
    return store


def test_qa_document_is_the_services_answer(qa_store: Path, tmp_path: Path) -> None:
    """The same fields as POST /qa; a file's text gives what the same text on the command line gives."""
    context = "the film was very good and the actors beautifully acted"
    (tmp_path / "context.txt").write_text(context, encoding="utf-8")
    common = ("qa", "--question", "was the film good", "--top-k", "3", "--digest", "--store", qa_store)
    answer = document(*common, "--context", context)
    assert set(answer) == {"results", "usage", "model", "digests"}
    assert len(answer["results"][0]) == 3
    for found in answer["results"][0]:
        assert context[found["start"] : found["end"]] == found["answer"]
    assert document(*common, "--context-file", tmp_path / "context.txt") == answer


@pytest.mark.parametrize("variant", ["int8", "fp32"])
def test_eval_of_questions_counts_exact_matches_and_f1(qa_store: Path, tmp_path: Path, variant: str) -> None:
    """A question whose answer is what the model says, and one whose answer it can't say, are 50 % together."""
    context = "the film was very good and the actors beautifully acted"
    asked = ("--question", "was the film good", "--context", context, "--variant", variant, "--store", qa_store)
    found = document("qa", *asked)["results"][0][0]
    questions = [
        {"id": name, "question": "was the film good", "answers": [{"text": text, "answer_start": context.index(text)}]}
        for name, text in (("right", found["answer"]), ("wrong", context))
    ]
    content = {"data": [{"paragraphs": [{"context": context, "qas": questions}]}]}
    (tmp_path / "dev.json").write_text(json.dumps(content), encoding="utf-8")
    common = ("eval", "tiny-qa", "--data", tmp_path / "dev.json", "--variant", variant, "--store", qa_store)
    result = document(*common)
    assert (result["examples"], result["metrics"]["exact_match"]) == (2, 50.0)
    assert 50.0 <= result["metrics"]["f1"] < 100.0
    questions[1]["answers"][0]["answer_start"] = 3
    (tmp_path / "dev.json").write_text(json.dumps(content), encoding="utf-8")
    assert "'wrong'" in refusal(*common)


def test_qa_needs_exactly_one_context(qa_store: Path, tmp_path: Path) -> None:
    """And a file that can be read; the message names it."""
    common = ("qa", "--question", "what", "--store", qa_store)
    assert "--context" in refusal(*common)
    assert "one of them" in refusal(*common, "--context", "film", "--context-file", tmp_path)
    assert "missing.txt" in refusal(*common, "--context-file", tmp_path / "missing.txt")


def test_classify_for_people(store: Path) -> None:
    """A line a text, with the best label."""
    done = run("classify", "good film", "--store", store)
    assert done.returncode == 0
    header, line = done.stdout.splitlines()
    assert header.split() == ["score", "label", "text"]
    assert line.split()[1] in {"negative", "positive"}
    assert line.endswith("good film")


@pytest.mark.parametrize("variant", ["int8", "fp32"])
def test_eval_document(store: Path, examples: Path, variant: str) -> None:
    """{model, variant, engine, examples, metrics, tokens_per_s} and how sure they are, metrics in percent."""
    result = document("eval", "tiny", "--data", examples, "--variant", variant, "--store", store)
    sure = {"intervals", "calibration_error", "bootstrap"}
    assert set(result) == {"model", "variant", "engine", "examples", "metrics", "tokens_per_s", *sure}
    assert set(result["intervals"]) == set(result["metrics"])
    assert (result["model"], result["variant"], result["examples"]) == ("tiny", variant, 3)
    assert result["engine"].startswith("native:" if variant == "int8" else "onnxruntime")
    assert any(result["metrics"]["accuracy"] == pytest.approx(100 * right / 3, abs=0.01) for right in range(4))
    assert result["tokens_per_s"] > 0


def test_eval_of_two_variants_on_two_files(store: Path, examples: Path, tmp_path: Path) -> None:
    """Each file, all as one set, and the paired difference everywhere; the baseline's own figures beside it."""
    other = tmp_path / "other.tsv"
    other.write_text("sentence\tlabel\nnot very good\t0\ngripping\t1\n", encoding="utf-8")
    common = ("eval", "tiny", "--data", examples, "--data", other, "--against", "fp32", "--store", store)
    result = document(*common)
    base = result["baseline"]
    assert [side["variant"] for side in (result, base)] == ["int8", "fp32"]
    assert [side["examples"] for side in (result, base)] == [5, 5]
    assert "against" not in base
    for ours, theirs in (
        (result, base),
        *((result["files"][str(p)], base["files"][str(p)]) for p in (examples, other)),
    ):
        difference = ours["against"]["differences"]["accuracy"]["value"]
        assert difference == pytest.approx(ours["metrics"]["accuracy"] - theirs["metrics"]["accuracy"], abs=1e-3)
        assert 0 <= ours["against"]["agreement"] <= 100
    assert result["files"][str(other)]["examples"] == 2
    shown = run(*common).stdout
    for words in (str(other), "all together", "difference", "agree on", "calibration error", "fp32 on onnxruntime"):
        assert words in shown
    assert "known: fp32, int8" in refusal(*common[:-4], "--against", "w4", "--store", store)


def test_eval_of_named_columns_without_header(store: Path, tmp_path: Path) -> None:
    """Columns by number, as in files that have no first line of names."""
    path = tmp_path / "plain.tsv"
    path.write_text("id\t1\tgood film\nid\t0\tbad plot\n", encoding="utf-8")
    columns = ("--text-column", 2, "--label-column", 1, "--no-header")
    assert document("eval", "tiny", "--data", path, *columns, "--store", store)["examples"] == 2


def test_bench_document(store: Path) -> None:
    """{cpu, kernels, rows: [{variant, batch, tokens, threads, median_ms, min_ms}]}, a row a variant and shape."""
    shapes = ("--shapes", "1x8,2x16", "--threads", "1", "--variants", "int8,fp32", "--seconds", "0.05")
    result = document("bench", "tiny", *shapes, "--store", store)
    assert set(result) == {"cpu", "kernels", "rows"}
    assert {(row["variant"], row["batch"], row["tokens"]) for row in result["rows"]} == {
        (variant, *shape) for variant in ("int8", "fp32") for shape in ((1, 8), (2, 16))
    }
    for row in result["rows"]:
        assert set(row) == {"variant", "batch", "tokens", "threads", "median_ms", "min_ms"}
        assert 0 < row["min_ms"] <= row["median_ms"]


def test_verify_document(store: Path, tmp_path: Path) -> None:
    """{texts, implementations: {name: digest}, identical}: all of this machine, one digest."""
    path = tmp_path / "texts.txt"
    path.write_text("good film\nbad plot\ta pair\nthe film was very good\n", encoding="utf-8")
    result = document("verify", "tiny", "--texts", path, "--store", store)
    assert set(result) == {"texts", "implementations", "identical"}
    assert (result["texts"], result["identical"]) == (3, True)
    names = set(result["implementations"])
    assert {"reference", "native:portable", "onnx-integer"} <= names
    assert len(set(result["implementations"].values())) == 1


def test_export_onnx_writes_a_graph_without_floats(store: Path, tmp_path: Path) -> None:
    """A checked model of integer tensors only."""
    file = tmp_path / "tiny.onnx"
    assert run("export-onnx", "tiny", file, "--store", store).returncode == 0
    model = onnx.load(file)
    onnx.checker.check_model(model)
    kinds = {onnx.TensorProto.DataType.Name(item.data_type) for item in model.graph.initializer}
    assert kinds <= {"INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["classify"], "TEXT"),
        (["classify", " "], "empty"),
        (["classify", "good " * 100], "102 tokens"),
        (["classify", "a", "--model", "nope"], "nope"),
        (["classify", "a", "--variant", "w4"], "known: fp32, int8"),
        (["classify", "a", "b", "--text-pair", "c"], "--text-pair"),
        (["classify", "a", "--variant", "fp32", "--digest"], "not integer-only"),
        (["classify", "a", "--kernels", "nonsense"], "nonsense"),
        (["eval", "tiny", "--data", "nowhere.tsv"], "nowhere.tsv"),
        (["eval", "nope", "--data", "nowhere.tsv"], "no model 'nope'"),
        (["bench", "tiny", "--shapes", "1by1"], "1by1"),
        (["bench", "tiny", "--shapes", "1x65"], "limit of 64"),
        (["bench", "tiny", "--threads", "two"], "two"),
        (["verify", "tiny", "--variant", "fp32"], "fp32"),
        (["export-onnx", "tiny", "/nowhere/x.onnx"], "/nowhere/x.onnx"),
        (["build", "nowhere.toml"], "nowhere.toml"),
        (["nonsense"], "nonsense"),
        (["models", "--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_is_exit_2_and_says_what(store: Path, arguments: list[str], words: str) -> None:
    """The value that is wrong is in the message."""
    assert words in refusal(*arguments, INTBERT_STORE=str(store))


def test_a_damaged_package_is_exit_1_in_one_line(tmp_path: Path) -> None:
    """A failure that no other argument mends; the file is named."""
    package = write_tiny(tmp_path)
    file = package.directory / "int8.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\xff\x00")
    for command in (["models"], ["classify", "a"], ["verify", "tiny"]):
        message = refusal(*command, "--store", tmp_path, code=1)
        assert len(message.strip().splitlines()) == 1
        assert "int8.safetensors" in message


def test_the_readers_end_is_no_error_message(store: Path) -> None:
    """`intbert models | head -0` is silent."""
    done = subprocess.run(
        f"{sys.executable} -m intbert.cli models --store {store} | true", shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""


def test_version_and_help() -> None:
    """Both exit with 0; help lists every command."""
    assert run("--version").stdout.startswith("intbert ")
    listed = run("--help").stdout
    for command in (
        "serve",
        "classify",
        "models",
        "build",
        "re-export",
        "eval",
        "bench",
        "verify",
        "export-onnx",
        "doctor",
    ):
        assert command in listed
        assert run(command, "--help").returncode == 0


def test_a_text_too_long_is_refused_with_the_option_that_cuts_it(store: Path) -> None:
    """Which text, how long, and what to type."""
    message = refusal("classify", "good", "good " * 100, "--store", store)
    assert "inputs[1] has 102 tokens, more than the limit of 64; shorten it, or add --truncate" in message
    assert "is empty" in refusal("classify", "", "--store", store)
    assert run("classify", "good " * 100, "--truncate", "--store", store).returncode == 0


def test_help_of_serve_explains_every_setting() -> None:
    """Name, meaning and default of each, from the one place that has them."""
    told = " ".join(run("serve", "--help").stdout.split())
    for name in Settings.model_fields:
        assert f"{variable(name)} {explained(name)}" in told, name


def test_settings_from_a_file(store: Path, tmp_path: Path) -> None:
    """Any command reads the file that INTBERT_CONFIG names; serve and doctor take --config."""
    file = tmp_path / "intbert.toml"
    file.write_text(f'store = "{store}"')
    assert document("models", INTBERT_CONFIG=str(file))[0]["name"] == "tiny"
    assert document("doctor", "--config", file)["ok"]
    file.write_text("prot = 1")
    assert f"{file}: prot = 1" in refusal("serve", "--config", file)


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"],
        ["classify", "good film"],
        ["classify", "good film", "--variant", "fp32"],
        ["bench", "tiny", "--shapes", "1x8", "--seconds", "0.05"],
        ["eval", "tiny", "--data", "DATA"],
        ["serve", "--help"],
    ],
)
def test_no_training_library_is_imported(store: Path, examples: Path, arguments: list[str]) -> None:
    """What runs in production runs without torch: read off sys.modules after the command."""
    code = (
        "import sys\nfrom intbert.cli.entry import main\n"
        "try:\n main()\nexcept SystemExit as end:\n assert not end.code, end.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\nassert not loaded, loaded\n"
    )
    filled = [str(examples) if item == "DATA" else item for item in arguments]
    done = subprocess.run(
        [sys.executable, "-c", code, *filled],
        env={**os.environ, "INTBERT_STORE": str(store)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_the_service_imports_no_training_library() -> None:
    """Everything that `serve` imports, at once; and ONNX Runtime only when a float variant is asked for."""
    code = (
        "import sys\nimport intbert.api.app, intbert.api.server, intbert.runtime.service, intbert.runtime.native\n"
        f"loaded = [name for name in {(*HEAVY, 'onnxruntime', 'onnx')!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
