"""Draw the rooms of a package and their arrows as an SVG, from its code alone.

A room is a package or a module right below the top one. An arrow says "imports"; one that a chain
of others implies is left out, for nearly every room imports the ground floor. Where an arrow
passes a floor it has a place of its own there, beside the boxes.
"""

import ast
import textwrap
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import mean

import grimp

_ROOT = Path(__file__).parent.parent
_HEIGHT, _STOREY, _MARGIN = 66, 106, 16  # of a box; from floor to floor; around all
_LINE, _CHARACTER = 42, 6.4  # characters of a line; width of one
_PASSAGE, _BETWEEN = 8, 26  # width of an arrow's place; gap between two things on a floor
_STYLE = """
  text { text-anchor: middle; fill: #57606a }
  tspan { font: 12px -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
  tspan:first-child { font: 600 14px ui-monospace, "DejaVu Sans Mono", monospace; fill: #1f2328 }
  rect { rx: 8px; fill: #f6f8fa; stroke: #afb8c1 }
  .package { fill: #ddf4ff; stroke: #54aeff }
  path { fill: none; stroke: #8c959f; stroke-width: 1.4 }
  marker path { fill: #8c959f; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #9da7b3 }
    tspan:first-child { fill: #e6edf3 }
    rect { fill: #161b22; stroke: #444c56 }
    .package { fill: #0c2d4a; stroke: #1f6feb }
    path { stroke: #768390 }
    marker path { fill: #768390 }
  }
"""
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.0f} 0 {width:.0f} {height}" \
width="{width:.0f}" height="{height}">
<style>{style}</style>
<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0 L8 4 L0 8 Z"/></marker>
{drawn}
</svg>
"""
_Arrows = dict[str, set[str]]


def picture(top: str, floors: Sequence[Iterable[str]] = ()) -> str:
    """Return the SVG of a package's rooms.

    Parameters:
        floors: the rooms of each floor, the uppermost first; without them a room stands as
            high as its longest chain of arrows to the ground.
    """
    arrows = _arrows(top)
    rows: list[list[str]] = [list(floor) for floor in floors] or _floors(arrows)
    level = {room: number for number, row in enumerate(rows) for room in row}
    ways = []
    for start, ends in arrows.items():
        for end in sorted(ends - set().union(*(_reached(arrows, other) for other in ends))):
            passed = [f"{start} {end} {floor}" for floor in range(level[start] + 1, level[end])]
            ways.append([start, *passed, end])
            for floor, place in enumerate(passed, level[start] + 1):
                rows[floor].append(place)
    texts = {room: _lines(top, room) for room in arrows}
    return _svg(rows, texts, ways, _packages(top))


def _arrows(top: str) -> _Arrows:
    """Return which room imports which others."""
    graph = grimp.build_graph(top, cache_dir=None)
    inside = {room: {room, *graph.find_descendants(room)} for room in graph.find_children(top)}
    arrows: _Arrows = {}
    for room in sorted(inside):
        found = set[str]().union(*map(graph.find_modules_directly_imported_by, inside[room]))
        others = {other for other in inside if other != room and inside[other] & found}
        arrows[room.rpartition(".")[2]] = {other.rpartition(".")[2] for other in others}
    return arrows


def _reached(arrows: _Arrows, start: str) -> set[str]:
    return arrows[start].union(*(_reached(arrows, end) for end in arrows[start]))


def _floors(arrows: _Arrows) -> list[list[str]]:
    def height(room: str) -> int:
        return 1 + max(map(height, arrows[room]), default=-1)

    heights = {room: height(room) for room in arrows}
    return [[r for r in arrows if heights[r] == h] for h in sorted({*heights.values()})[::-1]]


def _packages(top: str) -> set[str]:
    return {path.parent.name for path in (_ROOT / top).glob("*/__init__.py")}


def _lines(top: str, room: str) -> list[str]:
    """Return the first line of a room's docstring, broken in two where it is long."""
    path = _ROOT / top / room
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    said = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
    said = said.replace("`", "")
    return textwrap.wrap(said, max(len(said) // 2 + 6, _LINE))


def _svg(
    rows: list[list[str]], texts: dict[str, list[str]], ways: list[list[str]], packages: set[str]
) -> str:
    box = max(len(line) for lines in texts.values() for line in lines) * _CHARACTER + 24
    middle = _middles(rows, dict.fromkeys(texts, box), ways)
    half = max(abs(x) + (box / 2 if item in texts else 0) for item, x in middle.items()) + _MARGIN
    y = {item: _MARGIN + number * _STOREY for number, row in enumerate(rows) for item in row}
    drawn = [_path(way, middle, y) for way in ways]
    for room, lines in texts.items():
        kind = "package" if room in packages else "module"
        drawn.append(_box(kind, middle[room], y[room], box, [room, *lines]))
    return _SVG.format(
        left=-half,
        width=2 * half,
        height=max(y.values()) + _HEIGHT + _MARGIN,
        style=_STYLE,
        drawn="\n".join(drawn),
    )


def _middles(
    rows: list[list[str]], widths: dict[str, float], ways: list[list[str]]
) -> dict[str, float]:
    """Sort each row, so that a thing is below what leads to it, and return where each stands.

    Of arrows that pass a box on the same side, the one that leads farthest down is outermost.
    """
    floor = {item: number for number, row in enumerate(rows) for item in row}
    farthest = {item: floor[way[-1]] for way in ways for item in way[1:-1]}
    middle: dict[str, float] = {}
    for row in rows:
        above = {
            item: mean([middle[a] for way in ways for a, b in pairwise(way) if b == item] or [0])
            for item in row
        }
        centre = mean(above[item] for item in row if item in widths)
        side = {item: 1 if above[item] >= centre else -1 for item in row}
        order = {item: (above[item], side[item] * farthest.get(item, 0)) for item in row}
        row.sort(key=order.__getitem__)
        x = -sum(widths.get(item, _PASSAGE) + _BETWEEN for item in row) / 2
        for item in row:
            width = widths.get(item, _PASSAGE) + _BETWEEN
            middle[item] = x + width / 2
            x += width
    return middle


def _path(way: list[str], middle: dict[str, float], y: dict[str, int]) -> str:
    """Return an arrow: down between the floors in a curve, straight where it passes one."""
    points = [f"M{middle[way[0]]:.0f} {y[way[0]] + _HEIGHT}"]
    for before, item in pairwise(way):
        above, below = y[before] + _HEIGHT, y[item]
        bend = (above + below) / 2
        points.append(
            f"C{middle[before]:.0f} {bend:.0f} {middle[item]:.0f} {bend:.0f}"
            f" {middle[item]:.0f} {below}"
        )
        points += [f"V{below + _HEIGHT}"] if item != way[-1] else []
    return f'<path d="{" ".join(points)}" marker-end="url(#tip)"/>'


def _box(kind: str, x: float, y: int, width: float, lines: list[str]) -> str:
    first = y + _HEIGHT / 2 + 13.5 - 8.5 * len(lines)
    said = "".join(
        f'<tspan x="{x:.0f}" y="{first + 17 * number:.0f}">{escape(line, quote=False)}</tspan>'
        for number, line in enumerate(lines)
    )
    left = x - width / 2
    return (
        f'<rect class="{kind}" x="{left:.0f}" y="{y}" width="{width:.0f}" height="{_HEIGHT}"/>'
        f"<text>{said}</text>"
    )
