"""Background processes: found again after their starter is gone, and never mistaken for a stranger.

A pid alone proves nothing, because the kernel gives it to others later. So a process is
identified by its pid *and* the moment it started.
"""

import contextlib
import dataclasses
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil

_SLICE = 0.1  # seconds; a zombie that nobody reaps is only seen between two waits


def command_line(pid: int) -> list[str]:
    """Return the process's arguments; empty when it is gone or may not be read."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def environment_of(pid: int) -> dict[str, str]:
    """Return the process's environment at its start; empty when it is gone or may not be read."""
    try:
        return psutil.Process(pid).environ()
    except psutil.Error:
        return {}


@dataclasses.dataclass(frozen=True)
class Process:
    """A process that may be somebody's child, or nobody's any more."""

    pid: int
    started: float  # seconds after the machine's start: setting the clock does not move it

    @classmethod
    def running(cls, pid: int) -> Self | None:
        """Return the process that has this pid now, or None (a zombie counts as gone)."""
        try:
            found = psutil.Process(pid)
            if found.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
                return None
            return cls(pid, round(found.create_time() - psutil.boot_time(), 2))
        except psutil.Error:
            return None

    @classmethod
    def recorded(cls, path: Path) -> Self | None:
        """Return the process a pid file names, if that very process still runs."""
        try:
            pid, started = json.loads(path.read_text())
        except (OSError, ValueError, TypeError):
            return None
        process = cls.running(pid)
        return process if process and process.started == started else None

    @classmethod
    def with_variable(cls, name: str, value: str) -> list[Self]:
        """Return the processes that were started with this variable in their environment."""
        return [found for found in cls._all() if environment_of(found.pid).get(name) == value]

    @classmethod
    def naming(cls, text: str) -> list[Self]:
        """Return the processes one of whose arguments begins with `text`."""
        return [
            found
            for found in cls._all()
            if any(argument.startswith(text) for argument in command_line(found.pid))
        ]

    @classmethod
    def _all(cls) -> Iterator[Self]:
        return filter(None, map(cls.running, psutil.pids()))

    def record(self, path: Path) -> None:
        """Write the pid file, whole or not at all."""
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps([self.pid, self.started]))
        new.replace(path)

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Process.running(self.pid) == self

    def ended(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the process to end; return whether it has."""
        until = time.monotonic() + timeout
        while self.alive:
            left = until - time.monotonic()
            if left <= 0:
                return False
            with contextlib.suppress(psutil.Error):
                psutil.Process(self.pid).wait(min(left, _SLICE))
        return True

    def stop(self, *, how: int = signal.SIGTERM, timeout: float = 20.0) -> None:
        """End the process and wait until it is gone; kill it after `timeout` seconds."""
        self._signal(how)
        if not self.ended(timeout):
            self._signal(signal.SIGKILL)
            self.ended(timeout)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(psutil.Error):
            if self.alive:
                psutil.Process(self.pid).send_signal(number)
