"""Tenants' schemas as a fleet, and one after the other: `python -m benchmarks.fleet [TENANTS]`.

The one after the other are `runner migrate --schema` processes; of many tenants a sample is
measured, in the state that the fleet leaves the database in. Processor time is that of the runner's
processes, and that of the server's sessions.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import workload
from runner.embedded import temporary_server

_RUNNER = (sys.executable, "-m", "runner")


def main() -> None:
    """Measure both, and print what they took."""
    asked = _arguments()
    with tempfile.TemporaryDirectory() as folder, temporary_server() as server:
        home = Path(folder)
        workload.write(home / "sql", workload.small(asked.files), undo=False)
        os.environ |= {"DATABASE_URL": server.url(), "PYTHONDONTWRITEBYTECODE": ""}
        shared = ("--sql-dir", str(home / "sql"))
        alone = [f"alone_{number:05}" for number in range(asked.sample)]
        fleet = [f"tenant_{number:05}" for number in range(asked.tenants)]
        targets = home / "targets.json"
        targets.write_text(json.dumps([{"schema": name} for name in fleet]))
        many = ("fleet", "migrate", "--targets", str(targets), *shared)
        made = (*many, "--create-schema", "--at-once", str(asked.at_once))
        told = f"{asked.tenants} tenants with {asked.files} migrations"
        measured = _Measure((server.data / "postmaster.pid").read_text().split("\n")[0])
        measured(f"fleet, {told}", asked.tenants, lambda: _run(made))
        measured("the same again: nothing to do", asked.tenants, lambda: _run(many))
        measured("one after the other", asked.sample, lambda: _each(alone, shared))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tenants", type=int, nargs="?", default=40)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=os.cpu_count())
    return parser.parse_args()


def _each(schemas: Sequence[str], shared: Sequence[str]) -> None:
    for name in schemas:
        _run(("migrate", "--schema", name, "--create-schema", *shared))


def _run(arguments: Sequence[str]) -> None:
    subprocess.run([*_RUNNER, *arguments], check=True, capture_output=True)


class _Measure:
    """Does something and prints what it took of time and processors.

    Parameters:
        postmaster: the id of the server's process, which counts what its ended sessions used.
    """

    def __init__(self, postmaster: str) -> None:
        self._stat = Path("/proc", postmaster, "stat")

    def __call__(self, what: str, targets: int, work: Callable[[], None]) -> None:
        began, before = time.monotonic(), self._used()
        work()
        seconds = time.monotonic() - began
        ours, servers = (now - then for now, then in zip(self._used(), before, strict=True))
        print(f"{what}: {seconds:.1f} s, processor {ours:.1f} s, the server's {servers:.1f} s")
        each = [f"{1000 * part / targets:.0f} ms" for part in (seconds, ours, servers)]
        print(f"    a target {each[0]}, processor {each[1]}, the server's {each[2]}", flush=True)

    def _used(self) -> tuple[float, float]:
        ours = resource.getrusage(resource.RUSAGE_CHILDREN)
        fields = self._stat.read_text().rpartition(")")[2].split()
        ticks = int(fields[13]) + int(fields[14])  # of children that ended
        return ours.ru_utime + ours.ru_stime, ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
