"""schemathesis over the OpenAPI document of a real running service: `python -m tests.api.check_schema`, or the test."""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.api.conftest import RunningServer, run_server
from tests.api.packages import write_tiny, write_tiny_qa

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)
ALL_PHASES = ("examples", "coverage", "fuzzing")
SHORT_PHASES = ("examples", "fuzzing")
FULL_EXAMPLES = 300  # of each operation with parameters, on top of the systematic ones: well over 5,000 requests
REQUESTS_MIN = 5000
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`report` is what schemathesis wrote; statuses are counted by the server itself."""

    passed: bool
    report: str
    statuses: Counter[int]

    @property
    def requests(self) -> int:
        return self.statuses.total()

    @property
    def faults(self) -> int:
        """Answers that say that the server failed."""
        return sum(count for status, count in self.statuses.items() if status >= 500)


def run_schemathesis(
    server: RunningServer, folder: Path, *, phases: Sequence[str], examples: int, seed: int = 1
) -> Outcome:
    """Requests from the server's own document, every answer checked against it. `folder` takes what it writes."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
        *("--checks", ",".join(CHECKS), "--phases", ",".join(phases)),
        *("--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure"),
        *("--suppress-health-check", "all", "--warnings", "off", "--no-color"),
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=os.environ | hooks, capture_output=True, text=True)
    statuses = Counter(int(line["status"]) for line in server.log if line["event"] == "request")
    return Outcome(passed=done.returncode == 0, report=done.stdout + done.stderr, statuses=statuses)


def main() -> int:
    """The long run. 0 when nothing was found."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "store"
        write_tiny(store)
        write_tiny_qa(store)
        with run_server(store, log_level="debug") as server:
            outcome = run_schemathesis(server, folder, phases=ALL_PHASES, examples=FULL_EXAMPLES)
    statuses = dict(sorted(outcome.statuses.items()))
    sys.stdout.write(f"{outcome.report}\n{outcome.requests} requests; statuses: {statuses}\n")
    return 0 if outcome.passed and not outcome.faults and outcome.requests >= REQUESTS_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
