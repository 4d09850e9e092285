"""Everybody can use it: axe-core finds nothing serious, the keyboard suffices, small screens show all."""

from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.api.conftest import RunningServer
from tests.api.page.conftest import WAIT_MS, Watched, watch

SERIOUS = {"serious", "critical"}
CONTEXT = "the film is good and the plot is thin " * 30


def violations(page: Page) -> list[Any]:
    """What axe-core says that would keep somebody out, with the elements it means."""
    found = Axe().run(page).response["violations"]
    return [(item["id"], [node["html"] for node in item["nodes"]]) for item in found if item["impact"] in SERIOUS]


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than the screen."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_no_serious_violation_and_no_overflow(
    context: BrowserContext, page_server: RunningServer, scheme: Literal["light", "dark"], width: int
) -> None:
    """At the start, with both tasks' answers, and with an error; light and dark, wide and on a telephone."""
    for watched in watch(context, page_server):
        watched.refused = {422}
        watched.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        watched.page.set_viewport_size({"width": width, "height": 900})
        page = watched.open()
        assert violations(page) == []
        page.click("#classify-examples .chip")
        page.wait_for_selector("#classify-output .verdict")
        page.click(".again")
        page.wait_for_selector(".samples svg")
        assert (violations(page), overflow(page)) == ([], 0)
        page.click("#tab-qa")
        page.click("#qa-examples .chip")
        page.wait_for_selector("#qa-output .verdict")
        for closed in page.locator("details").all():
            closed.evaluate("details => { details.open = true; }")
        assert (violations(page), overflow(page)) == ([], 0)
        page.fill("#qa-question", " ")
        page.click("#qa-form [type=submit]")
        page.get_by_role("alert").wait_for()
        assert (violations(page), overflow(page)) == ([], 0)


def test_the_keyboard_suffices(watched: Watched) -> None:
    """Skip link, tabs by arrows, a form sent by Control and Enter, an answer found in its text: no mouse needed."""
    page = watched.open()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the form")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("tab", name="Classify")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Ask a question")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Ask a question")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Question", exact=True)).to_be_focused()
    page.keyboard.type("film ?")
    page.keyboard.press("Tab")
    page.keyboard.insert_text(CONTEXT)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#qa-output .verdict")
    answer = page.locator("#qa-output .answer").last
    answer.focus()
    page.keyboard.press("Enter")
    expect(page.locator("mark.picked").first).to_be_in_viewport()


def test_results_are_said(watched: Watched) -> None:
    """A live region tells the answer of both variants; the page's own regions have names."""
    page = watched.open()
    said = page.get_by_role("status").last
    expect(said).to_have_attribute("aria-live", "polite")
    page.click("#classify-examples .chip")
    expect(said).to_contain_text("FP32:", timeout=WAIT_MS)
    for name in ("Try it", "Live", "Models"):
        expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()


def test_inline_code_is_refused(watched: Watched) -> None:
    """The policy is not only sent: neither an inline script nor eval runs, nor does text become markup."""
    page = watched.open()
    for attempt in ("eval('1')", "document.body.innerHTML = '<b>x</b>'"):
        caught = f"try {{ done({attempt}) }} catch (error) {{ done(error.name) }}"
        later = f"new Promise((done) => setTimeout(() => {{ {caught} }}))"  # evaluate itself may do what a page may not
        assert page.evaluate(later) in ("EvalError", "TypeError"), attempt
    page.evaluate("() => document.body.append(Object.assign(document.createElement('style'), {textContent: 'x{}'}))")
    assert page.evaluate("document.body.lastElementChild.sheet?.cssRules.length ?? 0") == 0
    assert watched.complaints
    watched.complaints.clear()
