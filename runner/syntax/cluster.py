"""Statements that reach beyond their database: roles, databases and settings are the server's."""

from __future__ import annotations

from runner.syntax.scanner import Statement

_SHARED = {"DATABASE", "GROUP", "ROLE", "SYSTEM", "TABLESPACE", "USER"}
_ON = {"DATABASE", "PARAMETER", "ROLE", "TABLESPACE"}


def reaches_server(statement: Statement) -> str | None:
    """Return what a statement does to the whole server, None where it stays in its database.

    What a function or a block does its text does not tell.
    """
    if statement.keyword not in _RULED:
        return None
    tokens = list(statement.tokens())[:40]
    first, second = tokens[0], "".join(tokens[1:2])
    if first in {"ALTER", "CREATE", "DROP"}:
        shared = second in _SHARED and tokens[1:3] != ["USER", "MAPPING"]
        return f"{first} {second}" if shared or [first, second] == ["DROP", "OWNED"] else None
    if first == "REASSIGN":
        return "REASSIGN OWNED"
    on = tokens[tokens.index("ON") + 1] if "ON" in tokens[:-1] else ""
    if first in {"GRANT", "REVOKE"} and not on:
        return f"{first} of a role"
    return f"{first} ON {on}" if on in _ON else None


_RULED = {
    *("ALTER", "COMMENT", "CREATE", "DROP", "GRANT", "REASSIGN", "REVOKE", "SECURITY"),
}
