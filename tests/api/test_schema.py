"""The service answers as its OpenAPI document says, whatever it is sent."""

from pathlib import Path

import pytest

from tests.api.check_schema import SHORT_PHASES, run_schemathesis
from tests.api.conftest import run_server


@pytest.mark.timeout(300)
def test_generated_requests_find_nothing(tiny_store: Path, tmp_path: Path) -> None:
    """No fault, no undocumented status, no answer that breaks its schema; `make check-api` sends thousands."""
    with run_server(tiny_store, log_level="debug") as server:
        outcome = run_schemathesis(server, tmp_path, phases=SHORT_PHASES, examples=16)
    assert outcome.passed, outcome.report
    assert outcome.faults == 0, outcome.report
    assert outcome.requests >= 250
    assert outcome.statuses[200] >= 50
