"""Clocks that can be set: the server's time of day, and that of the runners."""

from __future__ import annotations

import contextlib
import os
import shlex
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")
_PRELOAD, _CLOCK = "LD_PRELOAD", "TORTURE_CLOCK"
_AHEAD = struct.Struct("q")


class Clock:
    """The time of day of the processes that are started with it.

    Parameters:
        home: a folder that they can enter.
        name: of its files there.

    Raises:
        FileNotFoundError: there is no C compiler.
    """

    def __init__(self, home: Path, name: str) -> None:
        self._library, self._file = home / f"{name}.so", home / f"{name}.clock"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", self._library, _SOURCE],
            check=True,
        )
        self._file.write_bytes(_AHEAD.pack(0))

    def set(self, seconds: float) -> None:
        """Let it be so many seconds ahead of the machine's clock, for all of them at once."""
        with self._file.open("r+b") as file:
            file.write(_AHEAD.pack(round(seconds * 1e9)))

    @property
    def variables(self) -> dict[str, str]:
        """The environment by which a process gets it."""
        return {_PRELOAD: str(self._library), _CLOCK: str(self._file)}

    @contextlib.contextmanager
    def given(self) -> Iterator[None]:
        """Give it to the processes that are started inside."""
        before = {name: os.environ.get(name) for name in self.variables}
        os.environ.update(self.variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def binaries(self, real: Path, made: Path) -> Path:
        """Return a folder of PostgreSQL's binaries whose server has this clock.

        Parameters:
            real: the folder of the binaries.
            made: the folder, which is made here.
        """
        made.mkdir()
        (made / "initdb").symlink_to(real / "initdb")
        variables = " ".join(f"{name}={shlex.quote(text)}" for name, text in self.variables.items())
        server = made / "postgres"
        server.write_text(f'#!/bin/sh\n{variables} exec {shlex.quote(f"{real}/postgres")} "$@"\n')
        server.chmod(0o755)
        return made
