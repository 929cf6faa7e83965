"""What a statement leaves in its session, told from its text: settings, temporary tables."""

from __future__ import annotations

import itertools
import re
from typing import Literal

from runner.syntax.lexer import unquoted
from runner.syntax.scanner import Statement

# "again": running it once more brings it back. "set": so does that, and so does what the journal
# keeps. "session": only the journal tells what became of it. "gone": nothing brings it back.
Remains = Literal["again", "set", "session", "gone"]

_AGAIN = {"DEALLOCATE", "LISTEN", "LOAD", "PREPARE", "UNLISTEN"}
_SET = {"RESET", "SET"}
_TEMPORARY = {"TEMP", "TEMPORARY"}
_LITERAL = re.compile(r"(?:[eE]?'.*'|TRUE|FALSE|NULL)", re.DOTALL).fullmatch
# A setting whose name is computed: nobody knows which one to look at. Python and the server read
# the pattern alike.
COMPUTED = (
    r"""set_config"?\s*\((?!\s*e?'[^']*'(?:::text)?\s*,)"""
    r"""|execute\s[^;]{0,200}'\s*set\s+(?:session\s+)?[\w.$]*(?:'|%)"""
)
_COMPUTED = re.compile(COMPUTED, re.IGNORECASE).search


def remains(statement: Statement) -> Remains | None:
    """Return what becomes of what a statement leaves in its session when that ends; None: nothing.

    Code that it calls may leave more than its text tells.
    """
    if statement.keyword in _AGAIN:
        return "again"
    tokens = list(statement.tokens())
    if statement.keyword in _SET or (statement.keyword == "SELECT" and _only_sets(tokens[1:])):
        return "set"
    if _COMPUTED(statement.text) or (tokens[:1] == ["DECLARE"] and "HOLD" in tokens):
        return "gone"
    names = {unquoted(token).lower() for token in tokens}
    if "set_config" in statement.text.lower() or "pg_temp" in names or _makes_temporary(tokens):
        return "session"
    return None


def _makes_temporary(tokens: list[str]) -> bool:
    made = tokens[:1] == ["CREATE"] and not _TEMPORARY.isdisjoint(tokens[1:5])
    into = [symbol for word, symbol in itertools.pairwise(tokens) if word == "INTO"]
    return made or not _TEMPORARY.isdisjoint(into)


def _only_sets(tokens: list[str]) -> bool:
    """Return whether a list of what is selected is nothing but set_config with plain values."""
    place = 0
    while True:
        call = tokens[place:]
        if call[:2] == ["PG_CATALOG", "."]:
            call = call[2:]
            place += 2
        match call[:8]:
            case [name, "(", what, ",", value, ",", local, ")"]:
                plain = _LITERAL(what) and _LITERAL(value) and _LITERAL(local)
                if unquoted(name).lower() != "set_config" or not plain:
                    return False
            case _:
                return False
        place += 8
        if tokens[place : place + 1] != [","]:
            return place == len(tokens)
        place += 1
