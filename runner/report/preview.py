"""Statements as a plan shows them: laid out by sqlparse, bounded, never what is sent."""

from __future__ import annotations

import sqlparse
from sqlparse.exceptions import SQLParseError

from runner.syntax.scanner import scan

# sqlparse's time and memory grow fast; a person reads no further anyway.
_CHARACTERS = 2_000  # of one statement
_STATEMENTS = 50  # of one file


def preview(text: str) -> list[str]:
    """Return the lines that show a file's statements, numbered as the journal counts them."""
    lines = []
    count = 0
    for count, statement in enumerate(scan(text), 1):
        if count <= _STATEMENTS:
            lines += [f"-- {count}", *_laid_out(statement.text).splitlines()]
        if count <= _STATEMENTS and statement.copy_data:
            start, end = statement.copy_data
            lines.append(f"-- and {end - start:,} characters of data")
    if count > _STATEMENTS:
        lines.append(f"-- … and {count - _STATEMENTS} more statements")
    return lines or ["-- no statement"]


def _laid_out(sql: str) -> str:
    if len(sql) > _CHARACTERS:
        return f"{sql[:_CHARACTERS]}\n-- … {len(sql) - _CHARACTERS:,} more characters"
    try:
        return str(sqlparse.format(sql, strip_comments=True, strip_whitespace=False)).strip() + ";"
    except SQLParseError:
        return sql + ";"
