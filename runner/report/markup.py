"""HTML as text: one escape for everything that is not ours, and the few shapes that repeat."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from runner.report import wording
from runner.syntax import modes

_LONGEST = 20_000  # characters of one text, such as a file's SQL
_WIDE = {"Target", "Run", "Detail", "Hint", "Context"}  # facts that take more room
_UNFOLDED = 40  # lines of SQL that are shown at once


def e(text: object) -> str:
    """Return any value as HTML text, fit for attributes as well."""
    return html.escape(wording.clean("" if text is None else text))


def code(text: object) -> str:
    """Return a name or a command."""
    return f"<code>{e(text)}</code>" if text else ""


def soft(text: object) -> str:
    """Return a text with file names, which may break after each underscore."""
    return e(text).replace("_", "_<wbr>")


def block(text: str, *, exact: bool = False) -> str:
    """Return lines as they are.

    Parameters:
        exact: do not wrap, for a caret stands below its place; the box scrolls, by keyboard too.
    """
    kind = ' class="exact" tabindex="0"' if exact else ""
    return f"<pre{kind}>{e(wording.bounded(text, _LONGEST))}</pre>"


def sql(text: str | None) -> str:
    """Return a file's SQL, folded away where it is long."""
    if not text:
        return ""
    count = text.count("\n") + (not text.endswith("\n"))
    unfolded = " open" if count <= _UNFOLDED else ""
    said = wording.many(count, "line")
    return f"<details{unfolded}><summary>SQL, {said}</summary>{block(text)}</details>"


def items(texts: Iterable[object], kind: str = "") -> str:
    """Return a list, empty where there is nothing."""
    found = "".join(f"<li>{e(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{found}</ul>' if found else ""


def small(text: object, *, before: str = "", after: str = "") -> str:
    """Return a remark below a value, empty where there is none."""
    return f"<small>{before}{e(text)}{after}</small>" if text else ""


def facts(found: Mapping[str, str]) -> str:
    """Return names with their values, which are HTML; what is empty is left out."""
    pairs = "".join(
        f"<div{_class(name)}><dt>{e(name)}</dt><dd>{value}</dd></div>"
        for name, value in found.items()
        if value
    )
    return f'<dl class="facts">{pairs}</dl>' if pairs else ""


def _class(name: str) -> str:
    return ' class="wide"' if name in _WIDE else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose cells are HTML; on a phone each cell carries its column's name.

    Empty columns are left out, as is a table without rows.
    """
    filled = [index for index in range(len(head)) if any(row[index] for row in rows)]
    head = [head[index] for index in filled]
    rows = [[row[index] for index in filled] for row in rows]
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{e(name)}">{f"<div>{cell}</div>" if cell else ""}</td>'
            for name, cell in zip(head, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    if not body:
        return ""
    columns = "".join(f"<th>{e(name)}</th>" for name in head)
    return f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"


def swatch(kind: str) -> str:
    """Return a small square in the colour of a lock's level; the words beside it say the same."""
    return (
        '<svg viewBox="0 0 8 8" aria-hidden="true">'
        f'<rect class="{kind}" width="8" height="8" rx="2"/></svg>'
    )


def lock(name: str) -> str:
    """Return a lock's mode with what it blocks."""
    return (
        f"{swatch(f'lock{modes.level(name)}')}{e(modes.words(name))}"
        f"<small>{e(wording.blocks(name))}</small>"
    )
