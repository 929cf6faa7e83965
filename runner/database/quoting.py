"""Values and names inside SQL that shares a message and so cannot have parameters."""

from __future__ import annotations

from psycopg2.extensions import connection as Connection
from psycopg2.sql import Identifier, Literal


def quoted(name: str) -> str:
    """Return a name as SQL writes it, also in a statement that is given values."""
    return _between('"', name)


def text(value: str) -> str:
    """Return a text as SQL writes it, also in a statement that is given values.

    For a session with standard_conforming_strings on.
    """
    return _between("'", value)


def _between(mark: str, inside: str) -> str:
    """Return what stands between two marks, without a per cent sign.

    A statement that is given values has those taken for the values' places.
    """
    doubled = inside.replace(mark, mark * 2)
    if "%" not in inside:
        return f"{mark}{doubled}{mark}"
    escaped = doubled.replace("\\", "\\\\").replace("%", "\\0025")
    return f"U&{mark}{escaped}{mark}"


def literal(connection: Connection, value: str | int | None) -> str:
    """Return a value as SQL writes it, for a session with standard_conforming_strings on."""
    return Literal(value).as_string(connection)


def identifier(connection: Connection, name: str) -> str:
    """Return a name as SQL writes it, quoted."""
    return Identifier(name).as_string(connection)
