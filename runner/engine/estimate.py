"""How long a file will hold its locks: from the size of what it works on, and what runs took here.

A run that took its time wrote down how large the tables were that it locked. Where none did, it is
a guess, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from runner.result import Estimate, Relation, Trace
from runner.syntax.hazards import Hazard
from runner.syntax.locks import Expected

# What a statement does to all of a table.
Work = Literal["write", "read"]


class Pace(NamedTuple):
    """How fast work went here, in bytes a millisecond; `runs`: how many tell, 0 for a guess."""

    slowest: float
    usual: float
    fastest: float
    runs: int = 0


# Of one core and its disk. Three times as fast or as slow is nothing to be surprised at.
_GUESSES: dict[Work, Pace] = {
    "write": Pace(10_000, 30_000, 90_000),
    "read": Pace(50_000, 150_000, 450_000),
}
_SPREAD = 1.5  # a few runs that took the same do not say that the next one will


def paces(earlier: Iterable[Trace]) -> dict[Work, Pace]:
    """Return how fast work went.

    Parameters:
        earlier: of runs that noted how large it was what they locked.
    """
    found: dict[Work, list[float]] = {"write": [], "read": []}
    for trace in earlier:
        written = set(trace["rewritten"])
        sizes = {lock["relation"]: lock.get("bytes", 0) for lock in trace["locks"]}
        worked = sum(size for name, size in sizes.items() if not written or name in written)
        if worked and trace["held_ms"] > 0:
            found["write" if written else "read"].append(worked / trace["held_ms"])
    return {work: _pace(seen) if seen else _GUESSES[work] for work, seen in found.items()}


def _pace(seen: list[float]) -> Pace:
    usual = sorted(seen)[len(seen) // 2]
    slowest, fastest = min(*seen, usual / _SPREAD), max(*seen, usual * _SPREAD)
    return Pace(slowest, usual, fastest, len(seen))


def estimate(
    locks: Iterable[Expected],
    hazards: Iterable[Hazard],
    relations: Mapping[str, Relation],
    known: Mapping[Work, Pace],
) -> Estimate:
    """Return how long the work on tables that are there takes, and the locks are held with it.

    Parameters:
        relations: those that are there, by name; what the plan itself makes is empty.
    """
    work: dict[tuple[str, Work], None] = {}
    for lock in locks:
        if lock.rewrite or lock.scan:
            work[lock.relation, "write" if lock.rewrite else "read"] = None
    for hazard in hazards:
        if hazard.kind == "rows" and hazard.relation:
            work[hazard.relation, "write"] = None
    sizes = [(relations[name]["bytes"], known[kind]) for name, kind in work if name in relations]
    return {
        "ms": round(sum(size / pace.usual for size, pace in sizes)),
        "least_ms": round(sum(size / pace.fastest for size, pace in sizes)),
        "most_ms": round(sum(size / pace.slowest for size, pace in sizes)),
        "runs": min((pace.runs for _, pace in sizes), default=0),
    }
