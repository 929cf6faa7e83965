"""A backfill beside the same batches by hand: `python benchmarks/backfill.py [ROWS [SIZE [N]]]`.

By hand is a loop of psycopg2 that finds each range by its key, updates it and commits; it keeps no
checkpoint. Each round is in a new copy of the database. Prints seconds, and seconds of processor
time of server and client together.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import psutil
import psycopg2

from runner.embedded import Server, temporary_server

_TABLE = """
    create table t (id bigint generated always as identity primary key, net int, gross int);
    insert into t (net) select g from generate_series(1, {}) g; analyze t;
"""
_FILE = """-- runner: batch=t.id, batch_size={}
update t set gross = net + 1
where id between current_setting('batch.first')::bigint and current_setting('batch.last')::bigint;
"""
_NEXT = "select max(id) from (select id from t where id > %s order by id limit %s) s"
_UPDATE = "update t set gross = net + 1 where id > %s and id <= %s"


def by_hand(url: str, size: int, _: Path) -> None:
    """Do the batches as anybody would."""
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        last = 0
        while True:
            cursor.execute(_NEXT, (last, size))
            found = cursor.fetchone()
            if not found or found[0] is None:
                break
            cursor.execute(_UPDATE, (last, found[0]))
            connection.commit()
            last = found[0]
    connection.close()


def by_runner(url: str, size: int, folder: Path) -> None:
    """Let the runner do them."""
    (folder / "V1__gross.sql").write_text(_FILE.format(size))
    command = [sys.executable, "-m", "runner", "migrate", "--database-url", url]
    subprocess.run([*command, "--sql-dir", str(folder)], check=True, capture_output=True)


def _processor(server: Server) -> float:
    """Return the processor time of the server and of us, with what has ended."""
    with psycopg2.connect(server.url()) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        (pid,) = cursor.fetchone() or (0,)
    postmaster = psutil.Process(pid).parent()
    assert postmaster
    found = [postmaster, *postmaster.children(), psutil.Process()]
    times = [process.cpu_times() for process in found]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


def main() -> None:
    """Measure both in turn."""
    rows, size, rounds = [*map(int, sys.argv[1:]), *(1_000_000, 5_000, 3)[len(sys.argv) - 1 :]]
    ways: dict[str, Callable[[str, int, Path], None]] = {"hand": by_hand, "runner": by_runner}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with temporary_server() as server, tempfile.TemporaryDirectory() as folder:
        admin = psycopg2.connect(server.url())
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("create database made")
            with psycopg2.connect(server.url("made")) as made, made.cursor() as maker:
                maker.execute(_TABLE.format(rows))
            made.close()
            for _ in range(rounds):
                for name, way in ways.items():
                    cursor.execute("create database one template made")
                    cursor.execute("checkpoint")
                    began, used = time.monotonic(), _processor(server)
                    way(server.url("one"), size, Path(folder))
                    seconds = time.monotonic() - began
                    taken[name].append((seconds, _processor(server) - used))
                    print(f"{name}: {seconds:.1f} s, {taken[name][-1][1]:.1f} s", flush=True)
                    cursor.execute("drop database one with (force)")
    wall, processor = (
        median(pair[part] for pair in taken["runner"]) / median(p[part] for p in taken["hand"])
        for part in (0, 1)
    )
    print(f"{rows:,} rows, {size:,} at a time: {wall:.2f} of by hand, {processor:.2f} by processor")


if __name__ == "__main__":
    main()
