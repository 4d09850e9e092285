"""The models' cards: accuracy with intervals where the card has them, and as ever where it has not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import BrowserContext, expect

from intbert.model.manifest import Card
from intbert.runtime.error_analysis import error_analysis
from intbert.runtime.evaluate import evaluate, joined
from intbert.runtime.examples import LabelledText
from intbert.runtime.figures import BOOTSTRAP, figures
from tests.api.conftest import RunningServer, run_server
from tests.api.packages import WORDS, write_tiny
from tests.api.page.conftest import Watched, watch
from tests.api.page.test_accessible import overflow, violations

FILE = "elsewhere/reviews.tsv"
TEXTS = [LabelledText(text=" ".join(WORDS[i % 9 : i % 9 + 2 + i % 5]), label=i % 2) for i in range(60)]


def measured_card(store: Path) -> Card:
    """What a build would say of the tiny model."""
    package = write_tiny(store, "scratch")
    dev = {name: evaluate(package, name, TEXTS[:40]) for name in ("int8", "fp32")}
    other = {name: evaluate(package, name, TEXTS[40:]) for name in dev}
    both = {name: joined([dev[name], other[name]]) for name in dev}

    def said(found: dict[str, Any]) -> dict[str, Any]:
        return {"int8": figures(found["int8"], found["fp32"]), "fp32": figures(found["fp32"])}

    return Card(
        metrics={name: item.metrics for name, item in dev.items()},
        measured={
            "bootstrap": BOOTSTRAP,
            "figures": said(dev),
            "elsewhere": {"files": {FILE: said(other)}, "together": said(both)},
            "error_analysis": error_analysis(TEXTS[:40], dev["int8"], dev["fp32"], package.manifest),
        },
    )


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """Measured once."""
    return measured_card(tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def card_server(card: Card, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A package with a card of today beside one of earlier."""
    store = tmp_path_factory.mktemp("cards")
    write_tiny(store, "earlier")
    write_tiny(store, "today", card=card, gate={"metric": "accuracy", "allowed_drop": 100.0})
    with run_server(store) as running:
        yield running


@pytest.fixture
def cards(context: BrowserContext, card_server: RunningServer) -> Iterator[Watched]:
    """A page of that server."""
    yield from watch(context, card_server)


def test_a_card_says_how_sure_it_is(cards: Watched, card: Card) -> None:
    """Intervals below the values, calibration, the other file and all together, agreement, kinds of examples."""
    shown = cards.open().get_by_label("today version 1", exact=True)
    found: Any = card.measured["figures"]
    low, high = found["int8"]["intervals"]["accuracy"]
    row = shown.get_by_role("row", name="Accuracy", exact=False).first
    expect(row).to_contain_text(f"{card.metrics['int8']['accuracy']:.2f}{low:.2f} – {high:.2f}")
    for name in ("Calibration error", "Accuracy, reviews.tsv", "Accuracy, all together"):
        expect(shown.get_by_role("rowheader", name=name, exact=True)).to_be_visible()
    agreement = found["int8"]["against"]["agreement"]
    expect(shown.locator(".agreement")).to_contain_text(f"on {agreement:.2f} % of 40 examples")
    groups: Any = card.measured["error_analysis"]
    shown.locator(".groups summary").click()
    expect(shown.locator(".groups tbody tr")).to_have_count(len(groups["groups"]))


def test_an_earlier_card_has_its_values_alone(cards: Watched) -> None:
    """Nothing is missing that was there, and nothing is said that was not measured."""
    shown = cards.open().get_by_label("earlier version 1", exact=True)
    expect(shown.get_by_role("rowheader", name="Accuracy", exact=True)).to_be_visible()
    for selector in (".range", ".agreement", ".groups"):
        expect(shown.locator(selector)).to_have_count(0)
    expect(shown.get_by_role("rowheader", name="Calibration error")).to_have_count(0)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_cards_are_readable_by_all(cards: Watched, scheme: Literal["light", "dark"], width: int) -> None:
    """Nothing serious for axe-core, nothing wider than the screen, everything open."""
    cards.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    cards.page.set_viewport_size({"width": width, "height": 900})
    page = cards.open()
    for closed in page.locator("details").all():
        closed.evaluate("details => { details.open = true; }")
    assert (violations(page), overflow(page)) == ([], 0)
