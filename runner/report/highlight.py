"""SQL in colour by sqlparse's lexer, where our own lexer reads the text in the same way.

A colour says what a reviewer need not read closely, so none is given on one lexer's word: to
PostgreSQL, `#` begins no comment and a backslash ends no quote.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from runner.syntax.lexer import Lexer

LIMIT = 20_000  # characters; sqlparse needs up to 15 ms for a thousand of an odd text

_COLOURS = {"keyword": "\033[1m", "comment": "\033[36m", "string": "\033[32m", "number": "\033[35m"}
_PLAIN = "\033[0m"


class Piece(NamedTuple):
    """A part of a text: "keyword", "comment", "string", "number", or "" where it is plain."""

    kind: str
    text: str


def pieces(text: str) -> list[Piece]:
    """Return a text in parts, which together are the text; one plain part where it is too long."""
    if len(text) > LIMIT:
        return [Piece("", text)]
    found: list[Piece] = []
    for kind, part in _agreed(text):
        if found and found[-1].kind == kind:
            part = found.pop().text + part  # noqa: PLW2901 - one part for neighbours of a kind
        found.append(Piece(kind, part))
    return found if "".join(part for _, part in found) == text else [Piece("", text)]


def painted(text: str) -> str:
    """Return a text with a terminal's colours, each line painted by itself."""
    return "".join(
        "\n".join(_painted(kind, line) for line in part.split("\n")) for kind, part in pieces(text)
    )


def _painted(kind: str, line: str) -> str:
    return f"{_COLOURS[kind]}{line}{_PLAIN}" if kind and line else line


def _agreed(text: str) -> Iterator[Piece]:
    """Yield sqlparse's tokens, plain where ours lie otherwise."""
    from sqlparse import tokens  # noqa: PLC0415 - not for a run, nor for the Lambda
    from sqlparse.lexer import tokenize  # noqa: PLC0415

    kinds = {
        tokens.Keyword: "keyword", tokens.Comment: "comment",
        tokens.String.Single: "string", tokens.Number: "number",
    }  # fmt: skip
    ours = set(Lexer(text).spans(0, len(text)))
    starts, ends = {start for start, _ in ours}, {end for _, end in ours}
    code = bytearray(len(text))
    for start, end in ours:
        code[start:end] = b"\1" * (end - start)
    at = 0
    for token, part in tokenize(text):  # type: ignore[no-untyped-call]
        start, at = at, at + len(part)
        kind = next((name for group, name in kinds.items() if token in group), "")
        if kind == "comment":
            same = 1 not in code[start:at]
        elif kind == "keyword":  # "order by" is one token to sqlparse
            same = start in starts and at in ends
        else:
            same = (start, at) in ours
        yield Piece(kind if same else "", part)
