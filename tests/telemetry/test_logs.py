"""Logs: one line an event, also for libraries and tracebacks."""

import io
import json
import logging

import pytest

from intbert.telemetry.logs import LogFormat, log_libraries, make_logger


def test_json_is_one_document_a_line() -> None:
    """Collectors split at line ends: a traceback stays inside its document."""
    stream = io.StringIO()
    logger = make_logger(log_format="json", level="info", stream=stream)
    logger.info("request", status=200, duration_ms=1.23456)
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        logger.error("failed", exc_info=error)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["status"], first["duration_ms"], first["level"]) == ("request", 200, 1.235, "info")
    assert "ValueError" in second["exception"]


def test_levels_below_the_threshold_are_silent() -> None:
    """At "warning" an info line costs nothing and shows nothing."""
    stream = io.StringIO()
    logger = make_logger(log_format="console", level="warning", stream=stream)
    logger.info("hidden")
    logger.warning("shown", why="because")
    assert "hidden" not in stream.getvalue()
    assert "shown" in stream.getvalue()


def test_records_of_libraries_take_the_same_way() -> None:
    """uvicorn's complaints must be found where everything else is, and once."""
    stream = io.StringIO()
    log_libraries(["intbert-test-library"], make_logger(log_format="json", level="info", stream=stream), level="info")
    logging.getLogger("intbert-test-library").error("bad %s", "thing")
    (line,) = stream.getvalue().splitlines()
    assert (json.loads(line)["event"], json.loads(line)["logger"]) == ("bad thing", "intbert-test-library")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_control_characters_reach_no_terminal(log_format: LogFormat) -> None:
    """Whoever chooses a path can neither colour the log, nor hide in it, nor begin a line."""
    stream = io.StringIO()
    make_logger(log_format=log_format, level="info", stream=stream).info("request", path="/x\x1b[31m\n\x9b\u202eé")
    (line,) = stream.getvalue().splitlines()
    assert not [character for character in "\x1b\x9b\u202e" if character in line]
    assert "x1b[31m" in line
    assert "é" in line
