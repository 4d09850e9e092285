"""JSON to frozen values, by the types of their fields."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from intbert.client.errors import AnswerError

Value = TypeVar("Value")


def decode(kind: type[Value], value: Any, where: str = "answer") -> Value:
    """`value` as `kind`. AnswerError names the place that does not fit; unknown members are ignored."""
    decoded: Value = _decode(kind, value, where)
    return decoded


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(kind), value, where)
    if origin is tuple:
        return tuple(_decode(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(_a(list, value, where)))
    if origin is Mapping:
        members = _a(dict, value, where).items()
        return {name: _decode(get_args(kind)[1], item, f"{where}.{name}") for name, item in members}
    if is_dataclass(kind):
        return _object(kind, _a(dict, value, where), where)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise AnswerError(f"{where} is {type(value).__name__}, not {kind.__name__}: is this server an intbert?")
    return value


def _object(kind: Any, value: dict[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    known = {}
    for field in fields(kind):
        if field.name in value:
            known[field.name] = _decode(hints[field.name], value[field.name], f"{where}.{field.name}")
        elif field.default is MISSING:
            raise AnswerError(f"{where}.{field.name} is missing: is this server an intbert?")
    return kind(**known)


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """The first alternative that fits."""
    if value is None and types.NoneType in kinds:
        return None
    failures = []
    for kind in kinds:
        if kind is types.NoneType:
            continue
        try:
            return _decode(kind, value, where)
        except AnswerError as error:
            failures.append(str(error))
    raise AnswerError(failures[0])


def _a(kind: type[Value], value: Any, where: str) -> Value:
    if not isinstance(value, kind):
        raise AnswerError(f"{where} is {type(value).__name__}, not {kind.__name__}: is this server an intbert?")
    return value
