"""Statements as a plan shows them: the file's own text with its comments, numbered, bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.report import highlight
from runner.report.wording import clean
from runner.syntax.lexer import Lexer
from runner.syntax.scanner import Statement, scan

# A person reads no further anyway.
_CHARACTERS = 2_000  # of one statement, and of the comments before it
_STATEMENTS = 50  # of one file

_remark = re.compile(r"[ \t]*--[^\r\n]*").match  # on the line that a statement ends on


def preview(text: str, *, colour: bool = False) -> list[str]:
    """Return the lines that show a file's statements, numbered as the journal counts them.

    Comments stay with the statement that they precede, as they hold its reason.
    """
    return [line for part in _parts(text, colour=colour) for line in part.split("\n")]


def _parts(text: str, *, colour: bool) -> Iterator[str]:
    count = after = 0
    for count, statement in enumerate(scan(text), 1):
        if count > _STATEMENTS:
            continue
        end = _end(text, statement)
        yield f"-- {count}"
        yield from _shown(text[after : statement.start], colour=colour)
        yield from _shown(text[statement.start : end], colour=colour)
        after = end
        if statement.copy_data:
            start, after = statement.copy_data
            yield f"-- and {after - start:,} characters of data"
            after += len("\\.") if text.startswith("\\.", after) else 0
    if count > _STATEMENTS:
        yield f"-- … and {count - _STATEMENTS} more statements"
    else:
        yield from _shown(text[after:], colour=colour)
    if not count:
        yield "-- no statement"


def _end(text: str, statement: Statement) -> int:
    """Return where a statement's line ends: behind its semicolon and a remark on that line."""
    if not statement.terminated:
        return statement.end
    end = Lexer(text).skip_trivia(statement.end) + 1
    remark = None if statement.copy_data else _remark(text, end)
    return remark.end() if remark else end


def _shown(sql: str, *, colour: bool) -> Iterator[str]:
    """Yield a piece of the file, without the empty lines around it."""
    lines = sql.strip("\r\n").rstrip()
    if not lines.strip():
        return
    shown = clean(lines[:_CHARACTERS])
    yield highlight.painted(shown) if colour else shown
    if len(lines) > _CHARACTERS:
        yield f"-- … {len(lines) - _CHARACTERS:,} more characters"
