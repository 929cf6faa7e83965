"""The border of this room: a document from outside is a result, or is refused with its place.

What is needed is derived from the types of runner.result, so that what reads a result may trust
them. A field that they do not know does no harm.
"""

from __future__ import annotations

import types
from functools import cache
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from runner.result import VERSION, Document, Event, Finding, Plan, Preview, Proofs, Standing

# What each command's data is; that of any other is lines of text.
_DATA: dict[object, Any] = {
    "status": list[Standing], "history": list[Event], "lint": list[Finding], "verify": Proofs,
    "plan": Plan, "migrate": list[Preview], "rollback": list[Preview],
}  # fmt: skip
_NAMES = {
    str: "text", int: "whole number", float: "number", bool: "true or false",
    type(None): "null", list: "list", dict: "object",
}  # fmt: skip
_LARGEST = 2**63  # of any number: what PostgreSQL's bigint holds


def misfit(found: object) -> str | None:
    """Return where a JSON value is no result of our version, and why; None where it is one."""
    if not isinstance(found, dict):
        return "$: is no object"
    if found.get("result_version") != VERSION:
        return f"$.result_version: is not {VERSION}"
    command = found.get("command")
    data = _DATA.get(command, list[str]) if isinstance(command, str) else object
    return _fields(found, {**_hints(Document), "data": data | None}, "$")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Return a TypedDict's fields; NotRequired is on each that may be missing."""
    hints = get_type_hints(kind, include_extras=True)
    # __required_keys__ does not see NotRequired where annotations are texts, as they are there.
    return hints if kind.__total__ else {name: NotRequired[hint] for name, hint in hints.items()}


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is NotRequired else hint


def _misfit(value: object, kind: Any, path: str) -> str | None:
    origin, inside = get_origin(kind), get_args(kind)
    if kind is object:
        return None
    if is_typeddict(kind):
        return _fields(value, _hints(kind), path)
    if origin is Literal:
        return None if value in inside else f"{path}: is none of {', '.join(map(str, inside))}"
    if origin is list:
        return _items(value, inside[0], path)
    if origin in (Union, types.UnionType):  # the last is null, or both are plain
        problems = [_misfit(value, part, path) for part in inside]
        return problems[0] if all(problems) else None
    return None if _plain(value, kind) else f"{path}: is no {_NAMES[kind]}"


def _fields(value: object, hints: dict[str, Any], path: str) -> str | None:
    if not isinstance(value, dict):
        return f"{path}: is no {_NAMES[dict]}"
    for name, hint in hints.items():
        if name in value:
            problem = _misfit(value[name], _bare(hint), f"{path}.{name}")
        else:
            missing = get_origin(hint) is not NotRequired
            problem = f"{path}.{name}: is missing" if missing else None
        if problem:
            return problem
    return None


def _items(value: object, kind: Any, path: str) -> str | None:
    if not isinstance(value, list):
        return f"{path}: is no {_NAMES[list]}"
    problems = (_misfit(item, kind, f"{path}[{index}]") for index, item in enumerate(value))
    return next(filter(None, problems), None)


def _plain(value: object, kind: type) -> bool:
    if kind in (int, float):  # a bool is an int to Python, not in JSON; NaN is less than nothing
        number = value if isinstance(value, int | float) and type(value) in (int, kind) else None
        return number is not None and abs(number) < _LARGEST
    return type(value) is kind
