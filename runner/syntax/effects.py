"""What a statement may do to relations that are there: told from its text, for what watches it."""

from __future__ import annotations

import re

from runner.syntax.locks import locks_of
from runner.syntax.scanner import Statement

# Statements that hold no code of their own, and change no setting of the session.
ORDINARY = frozenset({
    "ALTER", "COMMENT", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "MERGE", "REFRESH",
    "REVOKE", "TRUNCATE", "UPDATE",
})  # fmt: skip

# They write rows, or words about objects: no relation gets another file or goes.
_HARMLESS = {"COMMENT", "COPY", "DELETE", "GRANT", "INSERT", "LOCK", "MERGE", "REVOKE", "UPDATE"}
_NAMED = {"CLUSTER", "REFRESH", "TRUNCATE"}
_DROPS_RELATIONS = {"FOREIGN", "MATERIALIZED", "TABLE", "VIEW"}
_ANYTHING = {"EXTENSION", "OWNED", "SYSTEM"}  # what follows DROP, ALTER or CREATE

_part = r'(?:"[^"]+"|[^\W\d][\w$]*)'
_name = re.compile(rf"{_part}(?:\.{_part})?").fullmatch


def replaced(statement: Statement) -> tuple[str, ...] | None:
    """Return the relations that a statement may rewrite or drop, None where it may be any.

    The names are as SQL writes them; what hangs on them by inheritance is meant as well.
    """
    if statement.keyword in _HARMLESS:
        return ()
    if statement.keyword not in {"ALTER", "CREATE", "DROP", *_NAMED}:
        return None
    tokens = list(statement.tokens())
    what = "".join(tokens[1:2])
    if what in _ANYTHING or ("CASCADE" in tokens and statement.keyword != "CREATE"):
        return None
    relations = what in _DROPS_RELATIONS or statement.keyword in _NAMED
    if statement.keyword == "CREATE" or not relations:
        return ()
    names = tuple(lock.relation for lock in locks_of(statement))
    return names if names and all(map(_name, names)) else None
