"""Both tasks in the browser: what it shows is what the API answers."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.api.conftest import RunningServer
from tests.api.page.conftest import Watched

TEXT = "the film was beautifully acted"
EMOJI = "the plot 🎬 is thin 👩‍👩‍👧 but the actors are gripping, très bien 映画 and the film was not bad " * 3


@pytest.fixture
def api(page_server: RunningServer) -> Iterator[httpx.Client]:
    """The API beside the page."""
    with page_server.client() as client:
        yield client


def classify(page: Page, text: str) -> None:
    """Ask, and wait for the answer."""
    page.fill("#classify-text", text)
    page.click("#classify-form [type=submit]")
    page.wait_for_selector("#classify-output .verdict")


def ask(page: Page, question: str, context: str) -> None:
    """Ask, and wait for the answer."""
    page.click("#tab-qa")
    page.fill("#qa-question", question)
    page.fill("#qa-context", context)
    page.click("#qa-form [type=submit]")
    page.wait_for_selector("#qa-output .verdict")


def answer_of(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a program gets."""
    response = api.post(path, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_both_variants_side_by_side(watched: Watched, api: httpx.Client) -> None:
    """Labels and scores of each variant in the API's order; the digest is the API's."""
    page = watched.open()
    classify(page, TEXT)
    for variant in ("int8", "fp32"):
        body = {"inputs": TEXT, "parameters": {"variant": variant, "return_digest": variant == "int8"}}
        answer = answer_of(api, "/classify", body)
        card = page.locator(f"#classify-output .v-{variant}.variant")
        shown = list(
            zip(card.locator(".label").all_inner_texts(), card.locator(".score").all_inner_texts(), strict=True)
        )
        assert shown == [(found["label"], f"{100 * found['score']:.2f} %") for found in answer["results"][0]]
        assert "compute" in card.inner_text()
        assert "buffers" in card.inner_text()
        for digest in answer.get("digests", []):
            expect(card.locator("code")).to_have_attribute("title", re.compile(digest))


def test_the_verdict_is_the_apis(watched: Watched, api: httpx.Client) -> None:
    """Agreement of the two variants, in words and for those who hear the page."""
    page = watched.open()
    for text in ("the film was good", "bad plot", "a very thin plot"):
        classify(page, text)
        answer = answer_of(api, "/compare", {"task": "text-classification", "inputs": text})
        words = "Same answer" if answer["agreement"][0]["agreeing"] else "Different answers"
        expect(page.locator(".verdict .headline")).to_contain_text(words)
        best = answer["variants"][0]["results"][0][0]["label"]
        expect(page.locator("#said")).to_contain_text(f"int8: {best}")


def test_a_pair_is_sent_as_a_pair(watched: Watched, api: httpx.Client) -> None:
    """The second text counts, and an empty one does not."""
    page = watched.open()
    page.click("#classify-form summary")
    page.fill("#classify-pair", "the actors")
    classify(page, TEXT)
    pair = {"inputs": {"text": TEXT, "text_pair": "the actors"}, "parameters": {"return_digest": True}}
    digest = answer_of(api, "/classify", pair)["digests"][0]
    expect(page.locator("#classify-output .v-int8 code")).to_have_attribute("title", re.compile(digest))


def test_the_chosen_version_answers(watched: Watched, api: httpx.Client) -> None:
    """Version 1 of the model gives other bits than version 2, and the page says which it was."""
    page = watched.open()
    page.select_option("#classify-model", label="tiny 1")
    classify(page, TEXT)
    parameters = {"model": "tiny", "version": "1", "return_digest": True}
    digest = answer_of(api, "/classify", {"inputs": TEXT, "parameters": parameters})["digests"][0]
    expect(page.locator("#classify-output .v-int8 code")).to_have_attribute("title", re.compile(digest))
    expect(page.locator("#classify-output .comparison")).to_contain_text("tiny version 1")


def test_answers_are_marked_in_their_text(watched: Watched, api: httpx.Client) -> None:
    """Emoji, CJK and accents before an answer move no mark; the text stays whole; a click marks another answer."""
    page = watched.open()
    ask(page, "what is thin ?", EMOJI)
    box = page.locator("#qa-output .context")
    assert box.evaluate("box => box.textContent") == EMOJI
    for variant in ("int8", "fp32"):
        parameters = {"variant": variant, "top_k": 3}
        answers = answer_of(api, "/qa", {"question": "what is thin ?", "context": EMOJI, "parameters": parameters})[
            "results"
        ][0]
        marks = box.locator(f"mark.v-{variant}").all()
        assert "".join(mark.evaluate("mark => mark.textContent") for mark in marks) == answers[0]["answer"]
        last = page.locator(f"#qa-output .v-{variant} .answer").nth(len(answers) - 1)
        last.click()
        picked = box.locator("mark.picked").all()
        assert "".join(mark.evaluate("mark => mark.textContent") for mark in picked) == answers[-1]["answer"]


def test_many_runs_give_one_digest(watched: Watched) -> None:
    """The button asks twenty times more, shows each run, and says that the bits were the same in all."""
    page = watched.open()
    classify(page, TEXT)
    page.click(".again")
    expect(page.locator("#classify-output .v-int8 .digest")).to_contain_text("the same in 21 of 21 runs")
    expect(page.locator(".samples circle")).to_have_count(42)  # drawn once its width is known
    expect(page.locator(".again")).to_be_focused()


def test_examples_answer_with_one_click(watched: Watched) -> None:
    """Each example of either task fills the form and is answered."""
    page = watched.open()
    for task in ("classify", "qa"):
        page.click(f"#tab-{task}")
        for chip in page.locator(f"#{task}-examples .chip").all():
            with page.expect_response(lambda response: response.url.endswith("/compare")) as answered:
                chip.click()
            assert answered.value.status == 200


def test_markup_is_text(watched: Watched) -> None:
    """What somebody types is shown, never run."""
    page = watched.open()
    hostile = "<img src=x onerror=\"document.title='hit'\"> the film <script>document.title='hit'</script>"
    ask(page, "film ?", hostile)
    assert page.locator("#qa-output .context").evaluate("box => box.textContent") == hostile
    expect(page.locator("#qa-output img")).to_have_count(0)
    assert page.title() != "hit"


def test_the_command_does_the_same(watched: Watched, api: httpx.Client) -> None:
    """The curl line holds the body that the page sent."""
    page = watched.open()
    with page.expect_request(lambda request: request.url.endswith("/compare")) as sent:
        classify(page, "it's a 'good' film")
    command = page.locator("#classify-output pre").evaluate("pre => pre.textContent")
    body = re.search(r"-d '(.*)'$", command, flags=re.DOTALL)
    assert body is not None
    assert api.post("/compare", content=body[1].replace("'\\''", "'"), headers={"content-type": "application/json"})
    assert httpx.Response(200, content=body[1].replace("'\\''", "'")).json() == sent.value.post_data_json
