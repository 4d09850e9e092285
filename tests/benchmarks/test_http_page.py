"""The page about the server under load."""

import json
from pathlib import Path

from benchmarks.http.page import write_page
from benchmarks.models import ROOT


def test_the_committed_page_is_made_of_the_newest_result(tmp_path: Path) -> None:
    """Nobody edits it, and every promise on it is held."""
    newest = max((ROOT / "benchmarks" / "results" / "http").glob("*.json"))
    document = json.loads(newest.read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "benchmarks-http.md").read_text(encoding="utf-8")
    assert write_page(document, tmp_path / "page.md").read_text(encoding="utf-8") == page
    assert page.count(": held") >= 8
    assert "missed" not in page
