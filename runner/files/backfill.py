"""What is wrong with the SQL of a backfill: each of its statements works on one range of a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise

from runner.files.directives import Batch
from runner.syntax.clauses import after, first_name
from runner.syntax.lexer import Problem, unquoted
from runner.syntax.scanner import Statement
from runner.syntax.search import mentions

# Settings of a batch's transaction: both ends of its range, as text.
FIRST, LAST = "batch.first", "batch.last"

_ENDS = {f"'{FIRST}'", f"'{LAST}'"}
_DATA = {"DELETE", "INSERT", "MERGE", "SELECT", "UPDATE", "WITH"}
_RANGE = f"current_setting('{FIRST}')::bigint and current_setting('{LAST}')::bigint"


def look(text: str, batch: Batch | None) -> Callable[[Statement], Iterable[Problem]]:
    """Return what gives the problems of each statement of a text.

    Parameters:
        batch: what the directive says, None where the file has none.
    """
    if batch is None and not mentions(text, FIRST, LAST):
        return lambda _: ()
    return partial(_problems, batch=batch)


def _problems(statement: Statement, batch: Batch | None) -> Iterator[Problem]:
    start = statement.start
    ends = _ENDS.intersection(statement.tokens())
    if batch is None:
        if ends:
            told = f"{min(ends)} is set in a backfill only"
            yield Problem(start, told, "put '-- runner: batch=table.key' on top of the file")
        return
    if statement.keyword not in _DATA:
        what = statement.keyword or "this"
        message = f"{what} is not run for each batch of a backfill, which takes statements on rows"
        yield Problem(start, message, "put it into a file of its own, before or after")
    elif len(ends) < len(_ENDS):
        missing = " and ".join(sorted(_ENDS - ends))
        message = f"it does not say {missing}, so each batch would do all"
        yield Problem(start, message, f"where {batch.column} between {_RANGE}, or the key's type")
    elif _moves(statement, batch):
        message = f"it makes keys of {batch.table} that the backfill may meet again"
        yield Problem(start, message, "go along another column, or write into another table")


def _moves(statement: Statement, batch: Batch) -> bool:
    """Return whether a statement puts rows of the table where the backfill has still to go."""
    tokens = list(statement.tokens())
    match statement.keyword:
        case "INSERT":
            return _same(first_name(tokens[2:]), batch.table) and "CONFLICT" not in tokens
        case "UPDATE":
            return _same(first_name(tokens[1:]), batch.table) and _sets(tokens, batch.column)
    return False


def _same(name: str, table: str) -> bool:
    """Return whether two names are of one table, as far as texts tell."""
    first, second = ([unquoted(part) for part in text.split(".")] for text in (name, table))
    return (first[1:] if first[0] == "public" else first) == (
        second[1:] if second[0] == "public" else second
    )


def _sets(tokens: list[str], column: str) -> bool:
    """Return whether an UPDATE sets a column."""
    depth, found = 0, unquoted(column)
    rest = after(tokens, "SET")
    for token, following in pairwise(rest):
        depth += (token == "(") - (token == ")")
        if not depth and token in {"FROM", "WHERE", "RETURNING"}:
            return False
        if not depth and following == "=" and unquoted(token) == found:
            return True
    return False
