"""Wire types: what is accepted, and errors that name the field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import to_json

from intbert.api.errors import HttpError, field_path, invalid_body
from intbert.api.wire import ClassifyRequest


def refusal(body: str) -> HttpError:
    """The error that `body` is refused with."""
    with pytest.raises(ValidationError) as caught:
        ClassifyRequest.model_validate_json(body)
    return invalid_body(caught.value)


def test_a_flat_list_of_two_strings_is_two_inputs() -> None:
    """Never a pair: that is what text and text_pair are for."""
    asked = ClassifyRequest.model_validate_json('{"inputs": ["a", "b"]}')
    assert asked.texts() == [("a", None), ("b", None)]


def test_one_pair_and_many() -> None:
    """Texts and pairs may be mixed in one list."""
    asked = ClassifyRequest.model_validate_json('{"inputs": ["a", {"text": "b", "text_pair": "c"}]}')
    assert asked.texts() == [("a", None), ("b", "c")]
    asked = ClassifyRequest.model_validate_json('{"inputs": {"text": "b", "text_pair": "c"}}')
    assert asked.texts() == [("b", "c")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{}", "inputs"),
        ("[]", "body"),
        ('{"inputs": 5}', "inputs"),
        ('{"inputs": null}', "inputs"),
        ('{"inputs": [["a", "b"]]}', "inputs[0]"),
        ('{"inputs": ["a", 7]}', "inputs[1]"),
        ('{"inputs": {"text": "a"}}', "inputs.text_pair"),
        ('{"inputs": [{"text": "a", "text_pair": 1}]}', "inputs[0].text_pair"),
        ('{"inputs": {"text": "a", "text_pair": "b", "label": "c"}}', "inputs.label"),
        ('{"inputs": "a", "parametres": {}}', "parametres"),
        ('{"inputs": "a", "parameters": null}', "parameters"),
        ('{"inputs": "a", "parameters": {"top_k": "1"}}', "parameters.top_k"),
        ('{"inputs": "a", "parameters": {"top_k": 0}}', "parameters.top_k"),
        ('{"inputs": "a", "parameters": {"top_k": true}}', "parameters.top_k"),
        ('{"inputs": "a", "parameters": {"truncation": "window"}}', "parameters.truncation"),
        ('{"inputs": "a", "parameters": {"return_digest": 1}}', "parameters.return_digest"),
        ('{"inputs": "a", "parameters": {"timeout_ms": 0}}', "parameters.timeout_ms"),
        ('{"inputs": "a", "parameters": {"max_answer_len": 3}}', "parameters.max_answer_len"),
    ],
)
def test_refusals_name_the_field(body: str, field: str) -> None:
    """422, with the path that the client wrote, not the names of our types."""
    error = refusal(body)
    assert (error.status, error.code) == (422, "invalid_request")
    assert error.details["errors"][0]["field"] == field


@pytest.mark.parametrize("body", ["", "{", "nonsense", '{"inputs": "\\ud800"}', "[" * 5000, '{"inputs": "a"} x'])
def test_what_is_not_json_is_malformed(body: str) -> None:
    """400, also for a lone surrogate (no Unicode text has one) and for bottomless nesting."""
    error = refusal(body)
    assert (error.status, error.code) == (400, "malformed_json")


def test_errors_never_repeat_the_clients_text() -> None:
    """A problem document may be logged by anyone on the way."""
    error = refusal('{"inputs": [["my secret"]], "parameters": {"top_k": "my secret"}}')
    assert "my secret" not in error.message + str(error.details)


def test_many_errors_are_summed_up() -> None:
    """The answer stays small, whatever was sent."""
    error = refusal('{"inputs": [' + ",".join(["1"] * 1000) + "]}")
    assert len(error.details["errors"]) == 8
    assert "and 999 more" in error.message


def test_field_path_of_nothing_is_the_body() -> None:
    """An error of the whole document has no path."""
    assert field_path(()) == "body"


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ONE = TEXT | st.fixed_dictionaries({"text": TEXT, "text_pair": TEXT})


@given(ONE | st.lists(ONE))
def test_any_well_formed_input_comes_back_unchanged(inputs: Any) -> None:
    """No coercion, no stripping, no normalisation on the wire: what was sent is what is classified."""
    asked = ClassifyRequest.model_validate_json(to_json({"inputs": inputs}))
    items = inputs if isinstance(inputs, list) else [inputs]
    assert asked.texts() == [(i, None) if isinstance(i, str) else (i["text"], i["text_pair"]) for i in items]
