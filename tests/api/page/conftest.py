"""A real Chromium in front of a real server. Every page is watched: what it logs, where it sends requests."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.api.conftest import RunningServer, run_server

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
MISSING = "there is no Chromium here: the page was NOT tested; apt-get install chromium, then run the tests again"
WAIT_MS = 60_000
STATUS_OF_A_REQUEST = re.compile(r"the server responded with a status of (\d+)")


@dataclass(kw_only=True)
class Watched:
    """A page, and what it must not do. `refused`: statuses that the test provokes, which browsers log as errors."""

    page: Page
    origin: str
    refused: set[int] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self) -> Page:
        """The page, loaded, its models shown."""
        self.page.goto(self.origin + "/")
        self.page.wait_for_selector(".model")
        return self.page

    def watch(self) -> None:
        """Listen before anything is loaded."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def check(self) -> None:
        """Nothing was logged, and everything came from the server itself."""
        assert self.complaints == []
        assert {f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" for url in self.asked} <= {self.origin}

    def _on_console(self, message: ConsoleMessage) -> None:
        status = STATUS_OF_A_REQUEST.search(message.text)
        if message.type in ("error", "warning") and not (status and int(status[1]) in self.refused):
            self.complaints.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a file; without one they are skipped, and the end of the run says so.

    It must end: while it lives, Playwright has an event loop running in this thread, and tests of other
    folders start their own.
    """
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(MISSING)
    expect.set_options(timeout=WAIT_MS)  # a busy machine is slow, not wrong
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def page_server(tiny_store: Path) -> Iterator[RunningServer]:
    """A server of the page's own: what it loads and counts disturbs no other test."""
    with run_server(tiny_store) as running:
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile, without the animations that make tests wait."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def watched(context: BrowserContext, page_server: RunningServer) -> Iterator[Watched]:
    """A page of the shared server, checked when the test ends."""
    yield from watch(context, page_server)


def watch(context: BrowserContext, server: RunningServer) -> Iterator[Watched]:
    """A page of any server, checked when the test ends."""
    found = Watched(page=context.new_page(), origin=server.url)
    found.watch()
    yield found
    found.check()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A skipped browser must not go unnoticed among hundreds of dots."""
    if any(MISSING in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.section("THE PAGE WAS NOT TESTED", red=True, bold=True)
        terminalreporter.line(MISSING, red=True, bold=True)
