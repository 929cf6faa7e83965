"""What was measured, as tables, and held against what is wanted."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.chart import chart
from benchmarks.measure import Measure
from benchmarks.peers import Tool

OURS, SINGLE, BATCH, PIECES = (
    "runner", "psycopg2, a message each", "psycopg2, 100 in a message", "psycopg2, in pieces",
)  # fmt: skip

_SLOW = 4  # times as slow as the fastest


class Work(NamedTuple):
    """Something to do: its title, its kind, and how many migrations it is."""

    title: str
    kind: str
    size: int = 1


class Report:
    """Gathers measures of works by tools, in the order they come."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._tools: dict[str, Tool] = {}
        self._found: dict[Work, dict[str, list[Measure]]] = {}

    def add(self, work: Work, tool: Tool, measure: Measure) -> None:
        """Take what a tool took for a work."""
        self._tools[tool.name] = tool
        self._found.setdefault(work, {}).setdefault(tool.name, []).append(measure)

    def note(self, text: str) -> None:
        """Take a line that says what is missing or went wrong."""
        print(text, flush=True)
        self.notes.append(text)

    @property
    def works(self) -> list[Work]:
        """The works that were done, in that order."""
        return list(self._found)

    def median(self, work: Work, name: str) -> Measure | None:
        """Return the median of each figure of a tool, None where it was not measured."""
        measures = self._found.get(work, {}).get(name)
        return Measure(*map(statistics.median, zip(*measures, strict=True))) if measures else None

    def slow(self, work: Work, tool: Tool) -> bool:
        """Return whether a tool is so much slower than another that one run of it will do."""
        least = min(self._wall(work, name) for name in self._found[work])
        return tool.name in self._found[work] and self._wall(work, tool.name) > _SLOW * least

    def _wall(self, work: Work, name: str) -> float:
        found = self.median(work, name)
        assert found
        return found.wall

    def peer(self, work: Work) -> str | None:
        """Return the fastest tool that is neither ours nor a floor."""
        names = [
            name
            for name in self._found.get(work, {})
            if name != OURS and not self._tools[name].floor
        ]
        return min(names, key=lambda name: self._wall(work, name), default=None)

    def tables(self, works: Sequence[Work]) -> str:
        """Return a table for each of these works."""
        return "\n".join(map(self._table, works))

    def remarks(self) -> str:
        """Return what is missing or went wrong."""
        return "".join(f"- {note}\n" for note in self.notes)

    def svg(self) -> str:
        """Return the fastest of each work as bars."""
        return chart(
            [
                (work.title, [(name, self._wall(work, name)) for name in self._found[work]])
                for work in self._found
            ]
        )

    def _table(self, work: Work) -> str:
        names = sorted(self._found[work], key=lambda name: self._wall(work, name))
        floors = [name for name in (SINGLE, PIECES) if name in names]
        floor = self.median(work, floors[0]) if floors else None
        trips = any(measure.trips for name in names for measure in self._found[work][name])
        heads = ["", "seconds", "of floor", "processor", "of floor", "of it server", "MB"]
        heads += ["trips each"] * trips + ["runs", ""]
        lines = [
            f"### {work.title}",
            "",
            row(heads),
            row(["---", *["---:"] * (len(heads) - 2), "---"]),
        ]
        lines += [row(self._cells(work, name, floor, trips=trips)) for name in names]
        return "\n".join(lines) + "\n"

    def _cells(self, work: Work, name: str, floor: Measure | None, *, trips: bool) -> list[str]:
        found, tool = self.median(work, name), self._tools[name]
        assert found
        cells = [
            f"**{name}**" if name == OURS else name,
            f"{found.wall:.3f}",
            f"{found.wall / floor.wall:.2f}" if floor else "",
            f"{found.processor:.3f}",
            f"{found.processor / floor.processor:.2f}" if floor else "",
            f"{found.server:.2f}",
            f"{found.megabytes:.0f}",
        ]
        cells += [f"{found.trips / work.size:.2f}"] * trips
        return [*cells, str(len(self._found[work][name])), tool.note]


def row(cells: Sequence[str]) -> str:
    """Return a row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
