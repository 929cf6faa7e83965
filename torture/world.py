"""A server to be tormented, and runners as processes of their own, made by a fork."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg2
from psycopg2.extensions import connection as Connection

from runner.embedded import Server, embedded_bin_dir
from runner.embedded.ports import free_port
from torture.clock import Clock

LOGIN, PASSWORD = "migrator", "first"
_PATIENCE = 90.0  # seconds after which a run hangs
_AWAY = 30.0  # seconds that a server may take to come back
_POLL = 0.02  # seconds between two looks at it

# As fast as possible without losing what was committed when a process is killed: only the machine
# must not fail.
_DATABASE = ("synchronous_commit = on", "deadlock_timeout = '50ms'")


class Ended(NamedTuple):
    """A run that has ended: its exit code (negative: killed), document, other words, seconds."""

    run_id: str
    code: int
    document: dict[str, Any] | None
    said: str
    seconds: float = 0.0


class Started:
    """A run in a process of its own."""

    def __init__(self, process: BaseProcess, run_id: str, out: Path, err: Path) -> None:
        self._process, self._out, self._err = process, out, err
        self.run_id = run_id
        self._began = time.monotonic()

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, unless it is gone."""
        with contextlib.suppress(ProcessLookupError, TypeError):
            os.kill(self._process.pid or 0, number)

    def wait(self) -> Ended | None:
        """Return how it ended, None where it does not."""
        self._process.join(_PATIENCE)
        seconds = time.monotonic() - self._began
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
            return None
        out = self._out.read_text()
        try:
            document = json.loads(out) if out else None
        except ValueError:
            document = None
        return Ended(self.run_id, code, document, self._err.read_text(), seconds)


def _run(arguments: list[str], out: Path, err: Path) -> None:
    """Be the runner."""
    for stream, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY), stream)
    sys.argv = ["runner", *arguments]
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    from runner.__main__ import main  # noqa: PLC0415 - the streams are its own first

    code = main()
    os._exit(code)


def _stop_forking() -> None:
    """End the processes that make the runners, which else live as long as this one."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # noqa: SLF001
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]  # noqa: SLF001


class World:
    """One server with databases, and runners on it.

    Parameters:
        home: a folder for all of it.
        clocks: the time of day may be set, which takes a C compiler.
    """

    def __init__(self, home: Path, *, clocks: bool = False) -> None:
        self.home = home
        # The server's, and that of the runners.
        self.clocks = [Clock(home, name) for name in ("server", "runners")] if clocks else []
        binaries = embedded_bin_dir()
        if self.clocks:
            binaries = self.clocks[0].binaries(binaries, home / "bin")
        self.server = Server(binaries, home / "postgres", free_port(), durable=False)
        self._fork = multiprocessing.get_context("forkserver")
        self._fork.set_forkserver_preload(["torture.preloaded"])
        self._number = 0
        self._sessions: dict[str, Connection] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the server while inside."""
        with self.server:
            self.query("postgres", f"create role {LOGIN} login password '{PASSWORD}'")
            with self.clocks[1].given() if self.clocks else contextlib.nullcontext():
                forkserver.ensure_running()
            try:
                yield
            finally:
                for database in [*self._sessions]:
                    self.leave(database)
                _stop_forking()

    def connect(self, database: str) -> Connection:
        """Return a new session of the superuser, in autocommit."""
        connection: Connection = psycopg2.connect(
            self.server.url(database), options="-c synchronous_commit=on"
        )  # or a crash loses what a scene was given
        connection.autocommit = True
        return connection

    def query(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        """Run SQL as the superuser, in a session that stays while the server does.

        Raises:
            psycopg2.OperationalError: the server is away, and does not come back.
        """
        until = time.monotonic() + _AWAY
        while True:
            kept = self._sessions.get(database)
            try:
                if kept is None or kept.closed:
                    kept = self._sessions[database] = self.connect(database)
                with kept.cursor() as cursor:
                    cursor.execute(sql)
                    return cursor.fetchall() if cursor.description else []
            except psycopg2.OperationalError:
                if (kept and not kept.closed) or time.monotonic() > until:
                    raise
                time.sleep(_POLL)

    def leave(self, database: str) -> None:
        """End our own session in a database."""
        if kept := self._sessions.pop(database, None):
            kept.close()

    def create(self, name: str, template: str = "template1") -> None:
        """Make a database of the migrating role."""
        self.leave(template)
        self.query("postgres", f"create database {name} template {template} owner {LOGIN}")
        for setting in _DATABASE:
            self.query("postgres", f"alter database {name} set {setting}")

    def drop(self, name: str) -> None:
        """Remove a database with whoever is in it."""
        self.leave(name)
        self.query("postgres", f"drop database if exists {name} with (force)")

    def start(
        self, database: str, folder: Path, *arguments: str, port: int | None = None
    ) -> Started:
        """Start a runner as the migrating role.

        Parameters:
            port: of the proxy to go through.
        """
        self._number += 1
        run_id = f"run-{self._number}"
        out, err = (self.home / f"{run_id}.{name}" for name in ("out", "err"))
        for path in (out, err):
            path.touch()  # it may be killed before it says anything
        url = (
            f"postgresql://{LOGIN}:{PASSWORD}@127.0.0.1:{port or self.server.port}/{database}"
            "?sslmode=disable"
        )
        asked = [
            "--json", "--run-id", run_id, "--database-url", url, "--sql-dir", str(folder),
            "--connect-wait", "10", "--lock-wait", "60", *arguments,
        ]  # fmt: skip
        process = self._fork.Process(target=_run, args=(asked, out, err))
        process.start()
        return Started(process, run_id, out, err)

    def sessions(self, run_id: str) -> list[int]:
        """Return the processes of the server that serve a run."""
        found = self.query(
            "postgres",
            "select pid from pg_stat_activity where application_name ="
            f" 'schema-migrations/{run_id}' order by backend_start",
        )
        return [pid for (pid,) in found]

    def kill(self) -> None:
        """Kill the whole server at once, and start it again."""
        running = self.server.running
        assert running
        postmaster = psutil.Process(running.pid)
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=_AWAY)
        self.server.start()

    def restart(self, how: signal.Signals) -> None:
        """Stop the server by a signal, and start it again."""
        running = self.server.running
        assert running
        running.stop(how=how)
        self.server.start()

    def crash(self, pid: int) -> None:
        """Kill a process of the server, which then recovers by itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.await_server()

    def await_server(self) -> None:
        """Wait until the server serves again.

        Raises:
            psycopg2.OperationalError: it does not.
        """
        self.query("postgres", "select 1")
