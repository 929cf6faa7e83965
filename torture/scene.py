"""One event's scene: a database, a folder, and what runs and happens there."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import psycopg2

from runner.database import catalog
from runner.history.table import OURS
from torture.folders import Folder
from torture.proxy import Place, Proxy
from torture.world import Ended, Started, World

_TABLES = ("mark", "thing", "public.schema_version", "public.schema_version_log")
_MODES = ("access share", "row exclusive", "share", "access exclusive")


class Variant(NamedTuple):
    """What is run in scenes of one kind, and what comes of it undisturbed.

    Parameters:
        start: the database to begin with, a template.
        command: the runner's command and options.
        goal: how many versions are in force after it.
        places: how many bytes are sent and answered.
        whole: the schema after everything was applied.
        checksums: what the history then has of the files, by version.
    """

    folder: Folder
    start: str
    command: tuple[str, ...]
    goal: int
    places: tuple[int, int] = (0, 0)
    whole: Mapping[str, str] = MappingProxyType({})
    checksums: Mapping[str, str] = MappingProxyType({})


class Scene:
    """Where one event happens.

    Parameters:
        database: a database in the variant's first state.
        files: a folder of this scene alone; made here.
        chance: all that is drawn in it.
    """

    def __init__(
        self, world: World, variant: Variant, database: str, files: Path, chance: random.Random
    ) -> None:
        self.world, self.variant, self.chance = world, variant, chance
        self.database, self.files = database, files
        self.violations: list[str] = []
        self.rivals: list[Started] = []
        self.main: Started | None = None
        self.deadline: float | None = None
        self._helpers: list[threading.Thread] = []
        self._started = threading.Event()
        files.mkdir()
        for name, text in variant.folder.files.items():
            (files / name).write_text(text)

    def play(self, proxy: Proxy, *options: str) -> Ended | None:
        """Run the variant's command through a proxy, until it and all its rivals have ended."""
        self.main = self.start(*options, *self.variant.command, port=proxy.port)
        self._started.set()
        ended = self.main.wait()
        proxy.cut()
        for helper in self._helpers:
            helper.join()
        return ended

    def start(self, *arguments: str, port: int | None = None) -> Started:
        """Start a runner on this scene."""
        return self.world.start(self.database, self.files, *arguments, port=port)

    def run(self, *arguments: str) -> Ended:
        """Run the runner undisturbed."""
        ended = self.start(*arguments).wait()
        if ended is None:
            self.violations.append(f"{' '.join(arguments)} hangs")
            return Ended("", -1, None, "")
        return ended

    def running(self) -> Started:
        """Return the run that is disturbed."""
        self._started.wait()
        assert self.main
        return self.main

    def rival(self, *arguments: str) -> None:
        """Start another runner beside it."""
        self.rivals.append(self.start(*arguments))

    def place(self) -> Place:
        """Draw a place in what the command sends and is answered."""
        sent, answered = self.variant.places
        byte = self.chance.randrange(sent + answered)
        return Place("sent", byte) if byte < sent else Place("answered", byte - sent)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the scene's database as the superuser."""
        return self.world.query(self.database, sql)

    def sessions(self) -> list[int]:
        """Return the server's processes for the run that is disturbed."""
        return self.world.sessions(self.running().run_id)

    def lock(self, seconds: float) -> None:
        """Hold a lock on one of the tables for so long, if it is to be had."""
        table, mode = self.chance.choice(_TABLES), self.chance.choice(_MODES)
        self._beside(
            f"set local lock_timeout = '100ms'; lock table {table} in {mode} mode", seconds
        )

    def cross(self) -> None:
        """Take a table, and then one that the run may have, while that wants the first."""
        taken = self._beside(
            "lock table thing in share mode nowait",
            0.03,
            "lock table mark in access exclusive mode",
        )
        taken.wait()

    def _beside(self, first: str, seconds: float, then: str = "") -> threading.Event:
        """Run SQL in a transaction of another session, which is rolled back; give way to errors.

        Parameters:
            seconds: between the two parts, by a clock that nobody sets: pg_sleep has none.

        Returns:
            What says that the first part has ended.
        """
        over = threading.Event()

        def work() -> None:
            connection = self.world.connect(self.database)
            with contextlib.closing(connection), connection.cursor() as cursor:
                try:
                    cursor.execute(f"begin; {first}")
                    over.set()
                    time.sleep(seconds)
                    cursor.execute(f"{then}; rollback")
                except psycopg2.Error:  # it is the victim, or the table is not there
                    over.set()

        helper = threading.Thread(target=work, daemon=True)
        self._helpers.append(helper)
        helper.start()
        return over

    def schema(self) -> dict[str, str]:
        """Return the schema as the runner sees it."""
        with contextlib.closing(self.world.connect(self.database)) as connection:
            return catalog.read(connection, ignored=OURS).objects
