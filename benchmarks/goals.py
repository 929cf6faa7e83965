"""What this runner wants to reach, and what of it was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.measure import Measure
from benchmarks.report import BATCH, OURS, PIECES, SINGLE, Report, Work, row

# A figure of ours in a work, beside the other's where the goal names one.
_Figure = Callable[[Work, Measure, Measure], float]


class _Goal(NamedTuple):
    """A figure of a kind of work that is not to be exceeded; `other` None: the fastest peer."""

    kind: str
    what: str
    limit: float
    figure: _Figure
    other: str | None = OURS


def _seconds(_: Work, ours: Measure, other: Measure) -> float:
    return ours.wall / other.wall


def _trips(work: Work, ours: Measure, _: Measure) -> float:
    return ours.trips / work.size


def _megabytes(_: Work, ours: Measure, __: Measure) -> float:
    return ours.megabytes


def _all(work: Work, ours: Measure, _: Measure) -> float:
    return ours.wall / work.size * 100_000


def _processor(_: Work, ours: Measure, __: Measure) -> float:
    return ours.client


_GOALS = (
    _Goal("small", "of the fastest peer's time", 0.75, _seconds, None),
    _Goal("small", "of the time with 100 in a message", 1.15, _seconds, BATCH),
    _Goal("link", "of the fastest peer's time", 0.2, _seconds, None),
    _Goal("link", "round trips for each", 0.1, _trips),
    _Goal("undone", "of the fastest peer's time", 1.0, _seconds, None),
    _Goal("nothing", "of the floor's time", 1.2, _seconds, SINGLE),
    _Goal("status", "of the floor's time", 1.4, _seconds, SINGLE),
    _Goal("rows", "of the floor's time", 1.15, _seconds, PIECES),
    _Goal("rows", "MB", 45, _megabytes),
    _Goal("one", "of the floor's time", 1.15, _seconds, SINGLE),
    _Goal("validate", "seconds for 100,000", 6, _all),
    _Goal("validate", "MB", 200, _megabytes),
    _Goal("plan", "seconds for 100,000", 10, _all),
    _Goal("plan", "MB", 200, _megabytes),
    _Goal("handler", "seconds of processor time", 0.05, _processor),
)


def table(report: Report) -> str:
    """Return each goal that was measured, as a table."""
    lines = [
        "| work | what | at most | measured | by processor time | met |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for work in report.works:
        for goal in _GOALS:
            name = goal.other or report.peer(work)
            ours, other = report.median(work, OURS), report.median(work, name or OURS)
            if goal.kind == work.kind and name and ours and other:
                found = goal.figure(work, ours, other)
                what = goal.what if goal.other else f"{goal.what} ({name})"
                ratio = goal.figure is _seconds
                processor = f"{ours.processor / other.processor:.2f}" if ratio else ""
                cells = [work.title, what, f"{goal.limit:g}", f"{found:.2f}", processor]
                lines.append(row([*cells, "yes" if found <= goal.limit else "no"]))
    return "\n".join(lines) + "\n"
