"""What a command takes: time, processor time of itself and of the server, memory, round trips."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import psutil
import psycopg2

from benchmarks.peers import Asked
from runner.database import catalog
from runner.embedded.server import Server

_PATIENCE = 300  # seconds for one command
_LAUNCH = Path(__file__).with_name("launch.py")
_PROXY = "benchmarks.proxy"

# Who is installed keeps compiled code.
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}


class Failed(Exception):
    """A command that failed, with the end of what it said."""


class Measure(NamedTuple):
    """What one command took: seconds, megabytes and round trips."""

    wall: float
    client: float
    server: float = 0.0
    megabytes: float = 0.0
    trips: int = 0

    @property
    def processor(self) -> float:
        """Seconds of processor time, on both sides."""
        return self.client + self.server

    def beyond(self, other: Measure) -> Measure:
        """Return what it took more than another, in time."""
        return self._replace(wall=self.wall - other.wall, client=self.client - other.client)


class Bench:
    """A server of our own, and what commands take on it."""

    def __init__(self, server: Server, home: Path) -> None:
        self._server = server
        self._log = home / "said.txt"
        self._number = 0
        self._query("postgres", "alter system set autovacuum = off")
        self._query("postgres", "select pg_reload_conf()")

    def database(self) -> str:
        """Return the URL of a new, empty database."""
        self._number += 1
        name = f"bench{self._number}"
        self._query("postgres", f"create database {name}")
        return self._server.url(name)

    def drop(self, url: str) -> None:
        """Drop a database."""
        self._query("postgres", f"drop database {url.rpartition('/')[2]} with (force)")

    def schema(self, url: str) -> dict[str, str]:
        """Return the objects of the workload in a database."""
        with contextlib.closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            found = catalog.read(connection, ignored="^(?!item_)").objects
        return {name: text for name, text in found.items() if "item_" in name}

    def run(self, asked: Asked) -> Measure:
        """Run a command and return what it took.

        Raises:
            Failed: it did not succeed.
        """
        self._settle()
        before = self._used()
        done = subprocess.run(
            [sys.executable, "-S", "-E", _LAUNCH, self._log, str(_PATIENCE), *asked.command],
            cwd=asked.folder,
            env={**_ENVIRONMENT, **asked.environment},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = json.loads(done.stdout)
        self._settle()
        if found["code"]:
            said = self._log.read_text(errors="replace").strip()
            raise Failed(f"exit code {found['code']}: {said[-600:]}")
        return Measure(found["wall"], found["client"], self._used() - before, found["megabytes"])

    @contextlib.contextmanager
    def link(self, milliseconds: float) -> Iterator[Link]:
        """Give a line to the server that takes so long there and back."""
        command = [sys.executable, "-m", _PROXY, str(self._server.port), str(milliseconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
            try:
                assert proxy.stdout
                yield Link(self, self._server.port, proxy.stdout)
            finally:
                proxy.kill()

    def _query(self, database: str, sql: str) -> None:
        with contextlib.closing(psycopg2.connect(self._server.url(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)

    def _postmaster(self) -> psutil.Process:
        running = self._server.running
        assert running
        return psutil.Process(running.pid)

    def _settle(self) -> None:
        """Wait until every session has ended: only then its time is in the server's account."""
        until = time.monotonic() + 10
        while time.monotonic() < until and any(map(_is_session, self._postmaster().children())):
            time.sleep(0.005)

    def _used(self) -> float:
        """Return the seconds of processor time that the server has used for sessions that ended."""
        times = self._postmaster().cpu_times()
        return float(times.children_user + times.children_system)


class Link:
    """A line to the server that takes its time, and counts how often it was waited for."""

    def __init__(self, bench: Bench, server: int, said: IO[str]) -> None:
        self._bench = bench
        self._server = server
        self._port, self._counts = map(int, said.readline().split())

    def url(self, url: str) -> str:
        """Return the URL that leads over the line."""
        return url.replace(f":{self._server}/", f":{self._port}/")

    def run(self, asked: Asked) -> Measure:
        """Run a command that uses such a URL, and return what it took."""
        before = self._trips()
        return self._bench.run(asked)._replace(trips=self._trips() - before)

    def _trips(self) -> int:
        with socket.create_connection(("127.0.0.1", self._counts)) as counted:
            return int(counted.makefile().read())


def _is_session(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "127.0.0.1" in " ".join(process.cmdline())
    return False
