"""Whether what came from outside has the shape of a type: TypedDicts, lists, unions, literals."""

from __future__ import annotations

import types
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

# Bytes of a name; the server cuts off what is more (NAMEDATALEN in pg_config_manual.h).
_LONGEST_NAME = 63
_LARGEST = 2**63  # of any number: PostgreSQL's bigint holds less


def misnamed(schema: str) -> str | None:
    """Return why no schema of ours can have a name, None where one can.

    It is the name as the server keeps it: nothing of it is folded or quoted.
    """
    if not schema.isprintable() or not 0 < len(schema.encode()) <= _LONGEST_NAME:
        return f"a schema's name is 1 to {_LONGEST_NAME} printable bytes"
    if schema.startswith("pg_") or schema == "information_schema":
        return f"{schema} is the server's own"
    return None


def misfit(value: object, kind: Any, path: str = "$") -> str | None:
    """Return where a value is not of a type and why, None where it is.

    Parameters:
        value: as json.loads gives it.
        kind: a TypedDict, or what such a type holds.
        path: of the value, as JSON path has it.
    """
    origin, inside = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        return misfit(value, inside[0], path)
    if origin in (Union, types.UnionType):
        return _union(value, inside, path)
    if origin is list:
        return _list(value, inside[0], path)
    if is_typeddict(kind):
        return _object(value, kind, path)
    if origin is Literal:
        fits = any(type(value) is type(one) and value == one for one in inside)
        return None if fits else f"{path}: not one of {', '.join(map(str, inside))}"
    return None if kind is object or _is(value, kind) else f"{path}: not {_named(kind)}"


def _is(value: object, kind: type) -> bool:
    # bool is an int to Python, not to JSON; a whole number is a number, NaN and infinity are none.
    if isinstance(value, int | float) and not isinstance(value, bool):
        return kind in (float, type(value)) and abs(value) < _LARGEST
    return type(value) is kind


def _union(value: object, kinds: tuple[Any, ...], path: str) -> str | None:
    found = [misfit(value, kind, path) for kind in kinds]
    # The one that got furthest into the value is the one that was meant.
    return None if None in found else max(map(str, found), key=_depth)


def _depth(misfit: str) -> int:
    return misfit.partition(":")[0].count(".") + misfit.partition(":")[0].count("[")


def _list(value: object, kind: Any, path: str) -> str | None:
    if not isinstance(value, list):
        return f"{path}: not a list"
    for index, entry in enumerate(value):
        if found := misfit(entry, kind, f"{path}[{index}]"):
            return found
    return None


def _object(value: object, kind: Any, path: str) -> str | None:
    if not isinstance(value, dict):
        return f"{path}: not an object"
    hints = get_type_hints(kind, include_extras=True)
    for name, hint in hints.items():
        optional = not kind.__total__ or get_origin(hint) is NotRequired
        if name not in value and not optional:
            return f"{path}: {name} is missing"
        if name in value and (found := misfit(value[name], hint, f"{path}.{name}")):
            return found
    strange = next((name for name in value if name not in hints), None)
    return None if strange is None else f"{path}: {strange!r} is unknown"


def _named(kind: Any) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(kind, "null")
