"""Which files break code that runs while they do, and so had better wait for the new one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from runner.lint.findings import Judged
from runner.syntax.clauses import after, first_name
from runner.syntax.hazards import hazards_of
from runner.syntax.locks import is_opaque
from runner.syntax.scanner import Statement, scan

_DIRECTIVE = "'-- runner: after deploy'"
# What ADD is followed by where it tightens a table: running code may write what that refuses.
_CONSTRAINTS = {"CONSTRAINT", "CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "EXCLUDE"}


def advice(sources: Sequence[Judged]) -> Iterator[str]:
    """Yield what is to be known of files that break running code, and of such that wait for it.

    Only advice: what the code that runs asks for is not in the files.
    """
    for source in sources:
        if source.migration.kind != "V":
            continue
        broken, quiet = _breaks(source.text)
        waits = source.migration.directives.after_deploy
        if broken and not waits:
            yield (
                f"{source.migration.name}: {broken[0]}: code that still runs may need that. If so,"
                f" put {_DIRECTIVE} on top: it then waits for migrate --after-deploy"
            )
        elif waits and quiet:
            yield (
                f"{source.migration.name}: it waits for the new code and takes nothing away that"
                f" the text shows: without {_DIRECTIVE} the new code would find it there"
            )


def _breaks(text: str) -> tuple[list[str], bool]:
    """Return what of a text breaks running code, and whether nothing in it might."""
    found: dict[str, None] = {}
    mine: set[str] = set()
    quiet = True
    for statement in scan(text):
        mine.add(_made(statement))
        for hazard in hazards_of(statement):
            quiet = False
            breaks = hazard.kind == "clients" or hazard.text.startswith("drops ")
            if breaks and hazard.relation not in mine:
                found[hazard.text] = None
        quiet = quiet and not (_tightens(statement) or is_opaque(statement))
    return [*found], quiet


def _made(statement: Statement) -> str:
    """Return the table that a statement makes, an empty text for another one."""
    tokens = list(statement.tokens())
    if statement.keyword != "CREATE" or "TABLE" not in tokens[1:3]:
        return ""
    return first_name(after(tokens, "TABLE"))


def _tightens(statement: Statement) -> bool:
    if statement.head[:2] == ("CREATE", "UNIQUE"):
        return True
    if statement.head[:2] != ("ALTER", "TABLE"):
        return False
    pairs = itertools.pairwise(statement.tokens())
    return any(
        word == "VALIDATE" or (word == "ADD" and next_ in _CONSTRAINTS) for word, next_ in pairs
    )
