"""Text in columns, as a terminal counts them."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable, Sequence

_GAP = "  "
_NARROWEST = 6  # columns that a cell keeps, however narrow the screen


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    width: int | None = None,
    *,
    whole: Container[str] = (),
) -> list[str]:
    """Return a table's lines, each column as wide as its widest cell.

    Parameters:
        width: columns of the screen, where the widest cells are cut so far that a line fits.
        whole: heads of columns in which nothing is cut.
    """
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(columns(row[place]) for row in cells) for place in range(len(head))]
    if width:
        widths = _narrowed(widths, width, [name not in whole for name in head])
    lines = [
        _GAP.join(_filled(cell, wide) for cell, wide in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return [lines[0], _GAP.join("-" * wide for wide in widths), *lines[1:]]


def columns(text: str) -> int:
    """Return how many columns a text takes: two for a wide character, none for an accent on it."""
    return len(text) if text.isascii() else sum(map(_wide, text))


def cut(text: str, most: int) -> str:
    """Return a text that takes so many columns at most, and ends with … where it went on."""
    if columns(text) <= most:
        return text
    room = most - 1
    for place, char in enumerate(text):
        room -= _wide(char)
        if room < 0:
            return f"{text[:place]}…"
    return text


def _wide(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _narrowed(widths: Sequence[int], width: int, may: Sequence[bool]) -> list[int]:
    """Return widths that fit, taken from the widest columns of those that may be cut."""
    narrowed = list(widths)
    places = [place for place, cuttable in enumerate(may) if cuttable]
    for _ in range(sum(widths) + len(_GAP) * (len(widths) - 1) - width):
        widest = max(places, key=narrowed.__getitem__)
        if narrowed[widest] > _NARROWEST:
            narrowed[widest] -= 1
    return narrowed


def _filled(cell: str, wide: int) -> str:
    shown = cut(cell, wide)
    return shown + " " * (wide - columns(shown))
