"""The names in statements that PostgreSQL runs in several transactions, from their text."""

from __future__ import annotations

import re
from typing import NamedTuple

from runner.syntax.lexer import unquoted
from runner.syntax.scanner import Statement


class Index(NamedTuple):
    """An index that a statement builds concurrently.

    `name` is as the catalog writes it, `table` as SQL does, with its schema where one is given.
    """

    name: str
    table: str


class Detach(NamedTuple):
    """A partition that a statement takes from its parent; both as SQL writes them."""

    parent: str
    partition: str


class Rebuilt(NamedTuple):
    """What REINDEX rebuilds: INDEX, TABLE, SCHEMA, DATABASE or SYSTEM, and its name as SQL."""

    kind: str
    name: str


def index_built(statement: Statement) -> Index | None:
    """Return the index that CREATE INDEX CONCURRENTLY builds, None for another statement.

    The name is empty where PostgreSQL would make one up.
    """
    if statement.keyword != "CREATE":
        return None
    tokens = _without(list(statement.tokens()), "UNIQUE")
    if tokens[:3] != ["CREATE", "INDEX", "CONCURRENTLY"] or "ON" not in tokens:
        return None
    rest = tokens[6:] if tokens[3:6] == ["IF", "NOT", "EXISTS"] else tokens[3:]
    name = "" if rest[:1] in ([], ["ON"]) else unquoted(rest[0])
    if "ON" not in rest:
        return None
    return Index(name, qualified(_without(rest[rest.index("ON") + 1 :], "ONLY")))


def index_dropped(tokens: list[str]) -> str | None:
    """Return the index that DROP INDEX CONCURRENTLY drops, None for another statement."""
    if tokens[:3] != ["DROP", "INDEX", "CONCURRENTLY"]:
        return None
    return qualified(tokens[5:] if tokens[3:5] == ["IF", "EXISTS"] else tokens[3:])


def reindexed(tokens: list[str]) -> Rebuilt | None:
    """Return what REINDEX rebuilds, None for another statement."""
    rest = [token for token in tokens[1:] if token != "CONCURRENTLY"]
    if rest[:1] == ["("] and ")" in rest:
        rest = rest[rest.index(")") + 1 :]
    if tokens[:1] != ["REINDEX"] or not rest:
        return None
    return Rebuilt(rest[0], qualified(rest[1:]))


def detached(tokens: list[str]) -> Detach | None:
    """Return what ALTER TABLE … DETACH PARTITION names, None for another statement."""
    if tokens[:2] != ["ALTER", "TABLE"] or "DETACH" not in tokens:
        return None
    rest = tokens[4:] if tokens[2:4] == ["IF", "EXISTS"] else tokens[2:]
    partition = tokens[tokens.index("DETACH") + 2 :]
    return Detach(qualified(_without(rest, "ONLY")), qualified(partition))


def qualified(tokens: list[str]) -> str:
    """Return the possibly qualified name that the tokens begin with, as SQL; empty without one."""
    name = _sql(tokens[0]) if tokens else ""
    for dot, part in zip(tokens[1::2], tokens[2::2], strict=False):
        if dot != ".":
            break
        name += "." + _sql(part)
    return name


_KINDS = {
    "AGGREGATE", "DOMAIN", "FUNCTION", "INDEX", "PROCEDURE", "SCHEMA", "SEQUENCE", "TABLE", "TYPE",
    "VIEW",
}  # fmt: skip


def made(statement: Statement) -> str | None:
    """Return the name of what a CREATE makes, None for what is not called by its name."""
    if statement.keyword != "CREATE":
        return None
    tokens = list(statement.tokens())
    kind = next((place for place, token in enumerate(tokens) if token in _KINDS), None)
    if kind is None:
        return None
    rest = tokens[kind + 1 :]
    rest = rest[3:] if rest[:3] == ["IF", "NOT", "EXISTS"] else rest
    return qualified(rest) or None


def says(text: str, name: str) -> bool:
    """Return whether a text has a relation's name anywhere in it, in code and comments alike.

    Parameters:
        name: as SQL writes it; its schema may be left out by the text.
    """
    word = re.escape(unquoted(re.findall(r'"(?:[^"]|"")+"|[^".]+', name)[-1]))
    return re.search(rf"(?<![\w$]){word}(?![\w$])", text, re.IGNORECASE) is not None


def _without(tokens: list[str], word: str) -> list[str]:
    """Return the tokens without an optional word among the first two."""
    head = [token for token in tokens[:2] if token != word]
    return head + tokens[2:]


def _sql(token: str) -> str:
    return token if token.startswith('"') else token.lower()
