"""What only this runner does: many files without a server, and its handler's import."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import peers, workload
from benchmarks.measure import Bench
from benchmarks.peers import Asked
from benchmarks.report import Report, Work

_IMPORTS = 9


def handler(bench: Bench, report: Report) -> None:
    """Measure the import of the Lambda's handler."""
    work = Work("The handler's import, beyond Python's start", "handler")
    for _ in range(_IMPORTS):
        took = bench.run(Asked([sys.executable, "-c", "import runner.handler"]))
        base = bench.run(Asked([sys.executable, "-c", "pass"]))
        report.add(work, peers.ours(), took.beyond(base))


def files(bench: Bench, report: Report, home: Path, count: int) -> None:
    """Measure a look at many files, without a database and before an empty one.

    Parameters:
        count: how many V files the folder has.
    """
    ours, url = peers.ours(), bench.database()
    program = ours.commands["nothing"](home, "", 0).command[0]
    workload.write(home, workload.small(count), undo=False)
    folder = ["--sql-dir", str(home)]
    plan = Asked([program, "plan", *folder, "--database-url", url])
    validate = Asked([program, "validate", *folder])
    for name, asked in (("validate", validate), ("plan", plan)):
        report.add(Work(f"{name} of {count:,} files", name, count), ours, bench.run(asked))
    bench.drop(url)
