"""Bars as SVG: a group for each work, a bar for each tool."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _LABEL, _BAR, _GAP, _HEAD = 760, 220, 16, 4, 34
_OURS, _FLOOR, _OTHER = "#2563eb", "#94a3b8", "#cbd5e1"

Bars = Sequence[tuple[str, float]]


def chart(groups: Sequence[tuple[str, Bars]]) -> str:
    """Return a picture of seconds, each group on a scale of its own."""
    parts, top = [], 10
    for title, bars in groups:
        parts.append(f'<text x="10" y="{top + 16}" font-weight="bold">{escape(title)}</text>')
        top += 26
        longest = max(seconds for _, seconds in bars)
        for name, seconds in sorted(bars, key=lambda bar: bar[1]):
            width = max(1, round((_WIDTH - _LABEL - 70) * seconds / longest))
            colour = _OURS if name == "runner" else _FLOOR if "psycopg2" in name else _OTHER
            middle = top + _BAR - 4
            parts.append(
                f'<text x="{_LABEL - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>'
                f'<rect x="{_LABEL}" y="{top}" width="{width}" height="{_BAR}" fill="{colour}"/>'
                f'<text x="{_LABEL + width + 6}" y="{middle}">{seconds:.2f} s</text>'
            )
            top += _BAR + _GAP
        top += _HEAD - 26
    style = "text { font: 12px sans-serif; fill: #334155 }"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}"'
        f' viewBox="0 0 {_WIDTH} {top}"><title>Seconds by tool</title><style>{style}</style>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )
