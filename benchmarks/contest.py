"""Tools that do the same work in turn, so that a busy machine is busy for all of them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Bench, Failed, Link, Measure
from benchmarks.peers import Tool
from benchmarks.report import Report, Work
from benchmarks.workload import Script


class Contestant:
    """A tool with its project's folder, and the database that it has worked on."""

    def __init__(self, tool: Tool, folder: Path, scripts: list[Script]) -> None:
        self.tool = tool
        self.folder = folder
        self.url = ""
        self.out = False  # it failed
        tool.write(folder, scripts)


class Contest:
    """Tools with one set of migrations.

    Parameters:
        patience: seconds after which a work gets no further round.
    """

    def __init__(
        self,
        bench: Bench,
        report: Report,
        tools: Sequence[Tool],
        home: Path,
        scripts: list[Script],
        *,
        patience: float,
    ) -> None:
        self._bench = bench
        self._report = report
        self._patience = patience
        self._count = len(scripts)
        shutil.rmtree(home, ignore_errors=True)
        self._all = [
            Contestant(tool, home / str(number), scripts) for number, tool in enumerate(tools)
        ]

    def run(
        self, work: Work, what: str, rounds: int, *, fresh: bool = False, link: Link | None = None
    ) -> None:
        """Have each tool that can do something do it, in as many rounds.

        Parameters:
            fresh: each time in a new database.
            link: the line to the server.
        """
        able, until = self._able(what), time.monotonic() + self._patience
        for _ in range(rounds):
            for one in able:
                self._once(one, work, what, fresh=fresh, link=link)
            if time.monotonic() > until:
                break
            able = [one for one in able if not one.out and not self._report.slow(work, one.tool)]

    def undo(self, work: Work, rounds: int) -> None:
        """Have each tool that can undo do so, and apply again what the next round undoes."""
        able, until = self._able("undo"), time.monotonic() + self._patience
        for number in range(rounds):
            for one in able:
                if number:
                    self._do(one, "apply", fresh=True)
                self._once(one, work, "undo")
            if time.monotonic() > until:
                break
            able = [one for one in able if not one.out and not self._report.slow(work, one.tool)]

    def _able(self, what: str) -> list[Contestant]:
        return [one for one in self._all if what in one.tool.commands and not one.out]

    def compare(self, work: Work) -> None:
        """Note each tool that leaves another schema than the first."""
        wanted: dict[str, str] | None = None
        for one in self._all:
            if one.url and not one.out:
                found = self._bench.schema(one.url)
                wanted = found if wanted is None else wanted
                if found != wanted:
                    self._report.note(f"{work.title}: {one.tool.name} leaves another schema")

    def close(self) -> None:
        """Drop the databases."""
        for one in self._all:
            self._drop(one)

    def _once(
        self,
        one: Contestant,
        work: Work,
        what: str,
        *,
        fresh: bool = False,
        link: Link | None = None,
    ) -> None:
        """Have a tool do something, and take what that took."""
        try:
            measure = self._do(one, what, fresh=fresh, link=link)
        except Failed as error:
            self._report.note(f"{work.title}: {one.tool.name} fails: {error}")
            one.out = True
        else:
            self._report.add(work, one.tool, measure)

    def _do(
        self, one: Contestant, what: str, *, fresh: bool = False, link: Link | None = None
    ) -> Measure:
        if fresh:
            self._drop(one)
            one.url = self._bench.database()
        url = link.url(one.url) if link else one.url
        return (link or self._bench).run(one.tool.commands[what](one.folder, url, self._count))

    def _drop(self, one: Contestant) -> None:
        if one.url:
            self._bench.drop(one.url)
        one.url = ""
