"""Another version becomes the active one under load, and a bad one does not."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.api.conftest import RunningServer, run_server
from tests.api.packages import reference_digest, write_tiny
from tests.api.test_classify import check_problem

TEXT = "the film was not very good"


def activate(client: httpx.Client, version: str) -> httpx.Response:
    return client.post(f"/models/tiny/versions/{version}/activate")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Of the classifier tiny only version 1 for now."""
    write_tiny(tmp_path / "store", version="1", seed=1)
    return tmp_path / "store"


@pytest.fixture
def running(store: Path) -> Iterator[RunningServer]:
    with run_server(store) as server:
        yield server


@pytest.fixture
def client(running: RunningServer) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


class Answer(NamedTuple):
    """What a client was told, and when it had asked (time.monotonic)."""

    asked: float
    status: int
    version: str
    digest: str


class Load:
    """Clients that ask without a pause and write down every answer."""

    def __init__(self, url: str, clients: int) -> None:
        self.seen: list[Answer] = []
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self) -> None:
        body = {"inputs": TEXT, "parameters": {"return_digest": True}}
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            while not self._stop.is_set():
                asked = time.monotonic()
                response = client.post("/classify", json=body)
                answer = response.json() if response.status_code == 200 else {"model": {"version": ""}, "digests": [""]}
                self.seen.append(Answer(asked, response.status_code, answer["model"]["version"], answer["digests"][0]))

    def answers(self, more: int) -> None:
        """Return when so many more were answered."""
        until = len(self.seen) + more
        while len(self.seen) < until and any(thread.is_alive() for thread in self._threads):
            threading.Event().wait(0.005)


def test_no_request_fails_through_activation_and_rollback(
    store: Path, running: RunningServer, client: httpx.Client
) -> None:
    """Under load there and back: every answer is 200 and has the bits of the version that it names."""
    expected = {"1": reference_digest(1, TEXT), "2": reference_digest(2, TEXT)}
    with Load(running.url, clients=4) as load:
        load.answers(20)
        write_tiny(store, version="2", seed=2)
        load.answers(20)
        assert {seen.version for seen in load.seen} == {"1"}  # a new version waits for its activation
        for version, previous in (("2", "1"), ("1", "2"), ("2", "1")):
            answer = activate(client, version).json()
            assert (answer["version"], answer["previous"]) == (version, previous)
            active = time.monotonic()  # what was asked before may be answered by the version before, however late
            load.answers(30)
            assert {seen.version for seen in load.seen if seen.asked > active} == {version}
    assert {seen.status for seen in load.seen} == {200}
    assert all(seen.digest == expected[seen.version] for seen in load.seen)
    assert [line["version"] for line in running.log if line["event"] == "activated"] == ["2", "1", "2"]
    assert not [line for line in running.log if line.get("level") in ("error", "critical")]


def test_models_and_metrics_say_which_version_is_active(
    store: Path, running: RunningServer, client: httpx.Client
) -> None:
    """The default of its task follows; series of a new version exist as soon as it is active."""
    write_tiny(store, version="2", seed=2)
    assert activate(client, "2").status_code == 200
    versions = {entry["version"]: entry for entry in client.get("/models/tiny").json()["versions"]}
    assert {version: entry["active"] for version, entry in versions.items()} == {"1": False, "2": True}
    assert {version: entry["default"] for version, entry in versions.items()} == {"1": False, "2": True}
    series = running.series()
    active = {
        dict(labels)["version"]: value for (name, labels), value in series.items() if name == "intbert_model_active"
    }
    assert active == {"1": 0, "2": 1}
    declared = {"endpoint": "/classify", "model": "tiny", "version": "2", "variant": "fp32", "code": "503"}
    assert series[("intbert_requests_total", tuple(sorted(declared.items())))] == 0
    named = client.post("/classify", json={"inputs": TEXT, "parameters": {"version": "1"}})
    assert named.json()["model"]["version"] == "1"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def edit(**changes: Any) -> Callable[[Path], None]:
    def change(package: Path) -> None:
        path = package / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def outside(package: Path) -> None:
    (package / "report.html").unlink()
    (package / "report.html").symlink_to("/etc/hostname")


def other_known_answer(package: Path) -> None:
    known = [{"text": "good", "text_pair": None, "variant": "int8", "digest": "0" * 64}]
    edit(known_answers=known)(package)


def broken_gate(package: Path) -> None:
    metrics = {"int8": {"accuracy": 40.0}, "fp32": {"accuracy": 50.0}}
    edit(card={"metrics": metrics, "measured": {}, "notes": ""})(package)


DEFECTS: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda p: flip(p / "int8.safetensors"), "hash_mismatch", "int8.safetensors"),
    (lambda p: flip(p / "fp32.onnx"), "hash_mismatch", "fp32.onnx"),
    (lambda p: (p / "int8.safetensors").write_bytes(b"short"), "size_mismatch", "5 bytes"),
    (lambda p: (p / "tokenizer.json").unlink(), "file_missing", "tokenizer.json"),
    (lambda p: (p / "model.pkl").write_bytes(b""), "file_extra", "model.pkl"),
    (outside, "path_unsafe", "symbolic link"),
    (lambda p: (p / "manifest.json").write_text("{"), "manifest_malformed", "not JSON"),
    (edit(format_version=99), "format_version_unknown", "99"),
    (edit(arithmetic_version=99), "arithmetic_version_unknown", "99"),
    (edit(name="other"), "manifest_malformed", "other"),
    (broken_gate, "gate_failed", "loses 10.000 of accuracy"),
    (other_known_answer, "self_test_failed", "other logits"),
]


def test_every_corruption_is_refused_while_the_old_version_serves(store: Path, tmp_path: Path) -> None:
    """409 with the defect's own code and words; the same bits before and after; mended, the version is taken."""
    expected = reference_digest(1, TEXT)
    sound = write_tiny(tmp_path / "sound", version="2", seed=2).directory
    with run_server(store) as running, running.client() as client:
        for damage, code, text in DEFECTS:
            place = store / "tiny" / "2"
            shutil.copytree(sound, place)
            damage(place)
            problem = check_problem(activate(client, "2"), 409, code)
            assert text in problem["detail"]
            assert "version 1 keeps serving" in problem["detail"]
            assert problem["active"] == "1"
            answer = client.post("/classify", json={"inputs": TEXT, "parameters": {"return_digest": True}}).json()
            assert (answer["model"]["version"], answer["digests"]) == ("1", [expected])
            assert client.get("/readyz").status_code == 200
            shutil.rmtree(place)
        shutil.copytree(sound, store / "tiny" / "2")
        assert activate(client, "2").json()["version"] == "2"


def test_what_is_not_there_is_not_found(client: httpx.Client) -> None:
    """With what there is, and nothing outside of the store."""
    assert check_problem(activate(client, "7"), 404, "version_not_found")["known"] == ["1"]
    check_problem(client.post("/models/nope/versions/1/activate"), 404, "model_not_found")
    assert client.post("/models/..%2f..%2fetc/versions/1/activate").status_code == 404


def test_a_new_model_is_served_after_its_activation(store: Path, client: httpx.Client) -> None:
    """No restart is needed to add one."""
    write_tiny(store, name="second", version="3", seed=5)
    body = {"inputs": TEXT, "parameters": {"model": "second"}}
    check_problem(client.post("/classify", json=body), 404, "model_not_found")
    answer = client.post("/models/second/versions/3/activate").json()
    assert answer["previous"] is None
    assert client.post("/classify", json=body).json()["model"]["name"] == "second"
