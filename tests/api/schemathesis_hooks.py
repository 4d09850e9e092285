"""Loaded by schemathesis (see check_schema.py): what generated requests must not ask for."""

from typing import Any

import schemathesis

PATIENT_MS = 20_000


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A deadline of a millisecond is rightly answered with 504; so that any 5xx is a fault, ask for more time."""
    parameters = case.body.get("parameters") if isinstance(case.body, dict) else None
    given = parameters.get("timeout_ms") if isinstance(parameters, dict) else None
    if isinstance(given, int) and not isinstance(given, bool) and 0 < given < PATIENT_MS:
        case.body = case.body | {"parameters": parameters | {"timeout_ms": PATIENT_MS}}
