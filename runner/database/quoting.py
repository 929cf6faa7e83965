"""Values and names inside SQL that shares a message and so cannot have parameters."""

from __future__ import annotations

from psycopg2.extensions import connection as Connection
from psycopg2.sql import Identifier, Literal


def quoted(name: str) -> str:
    """Return a name as SQL writes it, also in a statement that is given values.

    Such a statement has its per cent signs taken for places of values.
    """
    plain = name.replace('"', '""')
    if "%" not in name:
        return f'"{plain}"'
    escaped = plain.replace("\\", "\\\\").replace("%", "\\0025")
    return f'U&"{escaped}"'


def literal(connection: Connection, value: str | int | None) -> str:
    """Return a value as SQL writes it, for a session with standard_conforming_strings on."""
    return Literal(value).as_string(connection)


def identifier(connection: Connection, name: str) -> str:
    """Return a name as SQL writes it, quoted."""
    return Identifier(name).as_string(connection)
