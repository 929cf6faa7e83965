"""This runner beside others, on the same SQL and server: `make bench`, or `make bench FULL=1`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import alone, goals, peers, workload
from benchmarks.contest import Contest
from benchmarks.measure import Bench
from benchmarks.peers import Tool
from benchmarks.report import PIECES, Report, Work
from benchmarks.workload import Script
from runner.embedded import temporary_server

_MANY = 2_000  # migrations that only the fast ones are given
_LATENCY = 5  # milliseconds there and back
_ROOT = Path(__file__).resolve().parents[1]
_BUILD = _ROOT / "build" / "benchmarks"
_MARK = "<!-- measured -->\n"
_PICTURE = "![Bars of the seconds that each tool took](benchmarks.svg)"
WORKS = ("small", "link", "rows", "one", "files", "handler")
_DOCS = _ROOT / "docs"


class Plan(NamedTuple):
    """How much is measured, how often."""

    small: tuple[int, ...]
    link: int
    megabytes: int
    files: int
    rounds: int
    patience: float  # seconds after which a work gets no further round
    seconds: float  # after which no further work is begun


_QUICK = Plan(small=(300,), link=100, megabytes=10, files=5_000, rounds=3, patience=8, seconds=120)
_FULL = Plan(
    small=(200, 1_000, 5_000),
    link=200,
    megabytes=50,
    files=100_000,
    rounds=5,
    patience=240,
    seconds=7200,
)


class Benchmarks:
    """Everything that is measured, on one server."""

    def __init__(
        self, plan: Plan, bench: Bench, home: Path, report: Report, tools: list[Tool]
    ) -> None:
        self._plan = plan
        self._bench = bench
        self._home = home
        self._report = report
        self._tools = tools

    def run(self, works: Sequence[str]) -> None:
        """Measure these works."""
        until = time.monotonic() + self._plan.seconds
        for work in works:
            if time.monotonic() > until:
                self._report.note(f"{work} is left out: the machine is too busy for it")
            else:
                before = len(self._report.works)
                getattr(self, work)()
                print(self._report.tables(self._report.works[before:]), flush=True)

    def small(self) -> None:
        """Measure small migrations, in each number."""
        for count in self._plan.small:
            self._small(count)

    def _contest(self, tools: list[Tool], scripts: list[Script]) -> Contest:
        home = self._home / "projects"
        patience = self._plan.patience
        return Contest(self._bench, self._report, tools, home, scripts, patience=patience)

    def _small(self, count: int) -> None:
        """Apply small migrations, find them applied, list them, and undo them."""
        rounds = self._plan.rounds
        first = _applied(self._plan.small[0])
        tools = [tool for tool in self._tools if tool.name != PIECES]
        if count > _MANY:
            tools = [tool for tool in tools if not self._report.slow(first, tool)]
        contest = self._contest(tools, workload.small(count))
        applied = _applied(count)
        contest.run(applied, "apply", rounds, fresh=True)
        contest.compare(applied)
        contest.run(
            Work(f"Nothing to do, {count:,} files", "nothing", count), "nothing", 2 * rounds + 1
        )
        contest.run(Work(f"Status of {count:,}", "status", count), "status", 2 * rounds + 1)
        contest.undo(Work(f"{count:,} undone", "undone", count), rounds)
        contest.close()

    def link(self) -> None:
        """Apply small migrations over a slow line."""
        count = self._plan.link
        work = Work(f"{count:,} small migrations over a link of {_LATENCY} ms", "link", count)
        tools = [tool for tool in self._tools if tool.name != PIECES]
        contest = self._contest(tools, workload.small(count))
        with self._bench.link(_LATENCY) as link:
            contest.run(work, "apply", self._plan.rounds, fresh=True, link=link)
        contest.close()

    def rows(self) -> None:
        """Apply a large file of many statements."""
        size = self._plan.megabytes
        self._large(Work(f"{size} MB of INSERTs, a row each", "rows"), workload.rows(size))

    def one(self) -> None:
        """Apply a large file of one statement."""
        size = self._plan.megabytes
        self._large(Work(f"{size} MB in one statement", "one"), workload.one(size))

    def files(self) -> None:
        """Look at many files."""
        alone.files(self._bench, self._report, self._home / "files", self._plan.files)

    def handler(self) -> None:
        """Import the Lambda's handler."""
        alone.handler(self._bench, self._report)

    def _large(self, work: Work, script: Script) -> None:
        in_pieces = work.kind == "rows"  # which one statement cannot be
        tools = [tool for tool in self._tools if in_pieces or tool.name != PIECES]
        contest = self._contest(tools, [script])
        contest.run(work, "apply", self._plan.rounds, fresh=True)
        contest.compare(work)
        contest.close()


def _applied(count: int) -> Work:
    return Work(f"{count:,} small migrations", "small", count)


def main() -> None:
    """Measure, print the tables, and keep them."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--tools", nargs="*", default=[], metavar="NAME", help="these only")
    parser.add_argument("--works", nargs="*", default=[*WORKS], choices=WORKS, help="these only")
    parser.add_argument("--full", action="store_true", help="all sizes, for the documentation")
    asked = parser.parse_args()
    _BUILD.mkdir(parents=True, exist_ok=True)
    report, began = Report(), time.monotonic()
    tools, missing = peers.everybody(_BUILD / "peers", asked.tools)
    for reason in missing:
        report.note(reason)
    with tempfile.TemporaryDirectory(prefix="bench-") as home, temporary_server() as server:
        plan, bench = _FULL if asked.full else _QUICK, Bench(server, Path(home))
        try:
            Benchmarks(plan, bench, Path(home), report, tools).run(asked.works)
        except KeyboardInterrupt:
            report.note("interrupted: what follows is a part")
    reached = goals.table(report)
    print(reached)
    text = f"{reached}\n{report.tables(report.works)}\n{report.remarks()}"
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    (_BUILD / "benchmarks.md").write_text(text)
    (_BUILD / "benchmarks.svg").write_text(report.svg())
    if asked.full:
        _document(text, report.svg())


def _document(tables: str, picture: str) -> None:
    """Put tables and picture into the documentation."""
    page = _DOCS / "benchmarks.md"
    before, mark, _ = page.read_text().partition(_MARK)
    page.write_text(f"{before}{mark}\n{_PICTURE}\n\n{tables}")
    (_DOCS / "benchmarks.svg").write_text(picture)


if __name__ == "__main__":
    main()
