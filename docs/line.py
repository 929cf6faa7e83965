"""Draw the pipeline's line, and who may do what on it, from the table of docs/operations.md."""

import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

_PAGE = Path(__file__).parent / "operations.md"
_HEADING = "| step | acts as | takes | so it may |"
# What a person does between two steps, by the step that waits for it.
_GATE = {"Prod, Sign": "a person approves: risk, files, digest, what is lost"}

# Where the columns begin and how wide they are.
_STEP, _ROLE, _TAKEN, _MAY = (16, 150), (206, 170), (416, 200), (656, 330)
_WRAP, _CHARACTER = 48, 8  # characters of a line of the last one; pixels of a character of a name
_WIDTH = _MAY[0] + _MAY[1] + 16
_HEAD, _HEIGHT, _GAP, _LINE = 40, 52, 22, 15  # of the headings; a box; between two; a line of text
_STYLE = """
  text { font: 12px -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #57606a }
  .name { font: 600 13px ui-monospace, "DejaVu Sans Mono", monospace; fill: #1f2328 }
  .name, .gate { text-anchor: middle }
  rect { rx: 8px; fill: #f6f8fa; stroke: #afb8c1 }
  .role { rx: 16px }
  .prod { fill: #fff1e5; stroke: #e16f24 }
  .dev { fill: #ddf4ff; stroke: #54aeff }
  .bar { fill: #ffebe9; stroke: #cf222e }
  path { fill: none; stroke: #8c959f; stroke-width: 1.4 }
  marker path { fill: #8c959f; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #9da7b3 }
    .name { fill: #e6edf3 }
    rect { fill: #161b22; stroke: #444c56 }
    .prod { fill: #3d2416; stroke: #db6d28 }
    .dev { fill: #0c2d4a; stroke: #1f6feb }
    .bar { fill: #3c1618; stroke: #f85149 }
    path { stroke: #768390 }
    marker path { fill: #768390 }
  }
"""
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}" role="img" aria-label="Steps of the line, the role of each, what that role may">
<style>{style}</style>
<marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0 L8 4 L0 8 Z"/></marker>
{drawn}
</svg>
"""


class _Step(NamedTuple):
    """A row of the table."""

    name: str
    role: str
    taken: str
    may: str

    @property
    def account(self) -> str:
        """Whose account it reaches."""
        return next((name for name in ("prod", "dev") if f"{name}'s" in self.taken), "none")


def picture() -> str:
    """Return the SVG."""
    drawn, y = list(_headings()), _HEAD
    *steps, people = _steps()
    for number, step in enumerate(steps):
        if gate := _GATE.get(step.name):
            drawn += _gate(gate, y)
            y += _HEIGHT
        drawn += _row(step, y, arrives=number > 0)
        y += _HEIGHT + _GAP
    drawn += _row(people, y + _GAP, arrives=False)
    height = y + _GAP + _HEIGHT + 16
    return _SVG.format(width=_WIDTH, height=height, style=_STYLE, drawn="\n".join(drawn))


def _steps() -> Iterator[_Step]:
    table = _PAGE.read_text(encoding="utf-8").partition(_HEADING)[2].partition("\n\n")[0]
    for line in table.strip().splitlines()[1:]:
        cells = [cell.strip().replace("`", "") for cell in line.strip("| ").split(" | ")]
        yield _Step(*cells)


def _headings() -> Iterator[str]:
    for (x, _), title in zip(
        (_STEP, _ROLE, _TAKEN, _MAY), ("step", "its role", "takes", "so it may"), strict=True
    ):
        yield f'<text x="{x}" y="{_HEAD - 16}">{title}</text>'


def _row(step: _Step, y: int, *, arrives: bool) -> Iterator[str]:
    middle = y + _HEIGHT // 2
    if arrives:
        x = _STEP[0] + _STEP[1] // 2
        yield _arrow(x, y - _GAP, x, y)
    yield _box(_STEP, y, step.name, step.account)
    if step.role != "-":
        yield _arrow(sum(_STEP), middle, _ROLE[0], middle)
        yield _box(_ROLE, y, step.role, "role")
    if step.taken not in ("-", "nothing"):
        yield _arrow(sum(_ROLE) if step.role != "-" else sum(_STEP), middle, _TAKEN[0], middle)
        yield _box(_TAKEN, y, step.taken, f"role {step.account}")
    yield from _lines(_MAY[0], middle, step.may, _WRAP, "may")


def _lines(x: int, y: int, text: str, width: int, kind: str) -> Iterator[str]:
    lines = textwrap.wrap(text, width, break_on_hyphens=False)
    for number, line in enumerate(lines):
        around = round((number - (len(lines) - 1) / 2) * _LINE) + 4
        yield f'<text class="{kind}" x="{x}" y="{y + around}">{escape(line)}</text>'


def _gate(text: str, y: int) -> Iterator[str]:
    x = _STEP[0] + _STEP[1] // 2
    yield _arrow(x, y - _GAP, x, y)
    span = (_STEP[0], sum(_TAKEN) - _STEP[0])
    yield f'<rect class="bar" x="{span[0]}" y="{y}" width="{span[1]}" height="30"/>'
    yield from _lines(span[0] + span[1] // 2, y + 15, text, span[1], "gate")


def _box(column: tuple[int, int], y: int, name: str, kind: str) -> str:
    x, width = column
    rect = f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{_HEIGHT}"/>'
    said = _lines(x + width // 2, y + _HEIGHT // 2, name, width // _CHARACTER, "name")
    return "".join([rect, *said])


def _arrow(x: int, y: int, to_x: int, to_y: int) -> str:
    return f'<path d="M{x} {y} L{to_x} {to_y}" marker-end="url(#to)"/>'
