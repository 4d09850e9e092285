"""What the page says when something is missing or wrong."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.api.conftest import RunningServer, run_server
from tests.api.packages import write_tiny_qa
from tests.api.page.conftest import Watched, watch

KEY = "a-key-of-sixteen-or-more"


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Only questions, only with a key, only one request at a time."""
    store = tmp_path_factory.mktemp("questions")
    write_tiny_qa(store)
    with run_server(store, api_keys=KEY, max_requests=1) as running:
        yield running


@pytest.fixture
def closed(context: BrowserContext, closed_server: RunningServer) -> Iterator[Watched]:
    """A page of the closed server."""
    yield from watch(context, closed_server)


@contextmanager
def held_request(origin: str) -> Iterator[None]:
    """A request that is being received, and never comes to its end, until the block ends."""
    address = urlsplit(origin)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = f"POST /qa HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer {KEY}\r\n"
        connection.sendall(f"{head}content-type: application/json\r\ncontent-length: 100\r\n\r\n".encode())
        yield


def enter_key(page: Page, key: str) -> None:
    """As people do: type it where the focus is, and press Enter."""
    expect(page.get_by_label("API key", exact=True)).to_be_focused()
    page.keyboard.type(key)
    page.keyboard.press("Enter")


def test_an_error_is_explained(watched: Watched) -> None:
    """Detail, code, limit and the request's id stand on the page; the next answer replaces them."""
    watched.refused = {422}
    page = watched.open()
    page.fill("#classify-text", "the film was very good " * 40)
    page.click("#classify-form [type=submit]")
    alert = page.get_by_role("alert")
    for text in ("202 tokens, more than the limit of 64", "too_long", "202 of at most 64", "request "):
        expect(alert).to_contain_text(text)
    page.click("#classify-form summary")
    page.get_by_label("Drop the end").check()
    page.click("#classify-form [type=submit]")
    page.wait_for_selector(".verdict")
    expect(alert).to_have_count(0)
    expect(page.locator(".comparison")).to_contain_text("138 tokens dropped")


def test_a_key_is_asked_for_and_kept_in_memory(closed: Watched) -> None:
    """A wrong key is refused with the reason, the right one opens the page; no storage, cookie or address holds it."""
    closed.refused = {401}
    page = closed.page
    page.goto(closed.origin + "/")
    enter_key(page, "not-the-key-of-this-server")
    expect(page.locator("#key-reason")).to_contain_text("not valid")
    enter_key(page, KEY)
    page.wait_for_selector(".model")
    expect(page.locator("#key-row")).to_be_hidden()
    expect(page.locator("#status")).to_have_text("ready")
    kept = page.evaluate("[...Object.values(localStorage), ...Object.values(sessionStorage), document.cookie].join()")
    assert kept == ""
    assert KEY not in page.url + page.content()
    with page.expect_download() as saved:
        page.click("a.report")
    assert saved.value.suggested_filename == "tiny-qa-1.html"
    assert b"report of tiny" in Path(saved.value.path()).read_bytes()
    page.reload()
    expect(page.locator("#key-row")).to_be_visible()


def test_a_task_without_a_model_says_so(closed: Watched) -> None:
    """The tab that works is chosen; the other one says what is missing and offers nothing that can't be answered."""
    closed.refused = {401}
    page = closed.page
    page.goto(closed.origin + "/")
    enter_key(page, KEY)
    expect(page.get_by_role("tab", name="Ask a question")).to_have_attribute("aria-selected", "true")
    page.click("#tab-classify")
    expect(page.locator("#panel-classify")).to_contain_text("No classifier in the store")
    expect(page.locator("#classify-form")).to_be_hidden()


def test_overload_offers_another_try(closed: Watched) -> None:
    """A 429 is shown with a button, which waits as long as the server said and then asks again."""
    closed.refused = {401, 429}
    page = closed.page
    page.goto(closed.origin + "/")
    enter_key(page, KEY)
    page.fill("#qa-question", "film ?")
    page.fill("#qa-context", "the film is good")
    with held_request(closed.origin):
        page.click("#qa-form [type=submit]")
        expect(page.get_by_role("alert")).to_contain_text("overloaded")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".verdict")


def test_nothing_to_serve_and_nobody_there(context: BrowserContext, tmp_path: Path) -> None:
    """An empty store is explained and no form is offered; when the server ends, the page says that too."""
    with run_server(tmp_path, ready=False) as server:
        empty = Watched(page=context.new_page(), origin=server.url, refused={503})
        empty.watch()
        empty.page.goto(server.url + "/")
        expect(empty.page.get_by_role("alert")).to_contain_text("holds no model")
        expect(empty.page.locator("#status")).to_have_text("not ready")
        expect(empty.page.locator("#classify-form")).to_be_hidden()
        empty.check()
    expect(empty.page.locator("#status")).to_have_text("no answer")
    expect(empty.page.get_by_role("alert")).to_contain_text("can't be reached")
