"""Charts of the report."""

import re
from xml.etree import ElementTree

from intbert.builder.charts import Line, bar_chart, heat_map, line_chart

SERIES = [Line(name="int8", values=[1.0, 2.0]), Line(name="FP32", values=[3.0, 4.0])]


def test_charts_are_inline_svg_with_text() -> None:
    """Charts are well-formed, keep their words as text, and take their colours from the page."""
    for draw in (bar_chart, line_chart):
        svg = draw("name", "A title", ["first", "second"], SERIES, "ms")
        root = ElementTree.fromstring(svg)
        words = {element.text.strip() for element in root.iter() if element.text}
        assert {"first", "second", "int8", "FP32", "ms"} <= words
        assert root.get("aria-label") == "A title"
        assert "var(--int8)" in svg
        assert "#0000f" not in svg


def test_ids_differ_between_charts() -> None:
    """Two charts share no id, so that one page can hold both."""

    def ids(identity: str) -> set[str]:
        root = ElementTree.fromstring(bar_chart(identity, "t", ["a", "b"], SERIES, "ms"))
        return {element.attrib["id"] for element in root.iter() if "id" in element.attrib}

    assert not ids("one") & ids("two")


def test_charts_repeat() -> None:
    """The same values give the same bytes."""
    assert line_chart("x", "t", ["a", "b"], SERIES, "ms") == line_chart("x", "t", ["a", "b"], SERIES, "ms")


def test_heat_map_shows_its_numbers() -> None:
    """A cell for each value, none where there is none; the largest value has the darkest cell."""
    svg = heat_map("heat", "Costs", ["query", "key"], ["layer 0", "1"], [[4.0, 1.0], [None, 2.0]])
    root = ElementTree.fromstring(svg)
    words = [element.text.strip() for element in root.iter() if element.text and element.text.strip()]
    assert {"query", "key", "layer 0", "1", "4", "2"} <= set(words)
    shades = [float(found) for found in re.findall(r"opacity: ([\d.]+)", svg)]
    assert max(shades) == 0.6
    assert len([shade for shade in shades if 0 < shade < 1]) == 3
