"""Processes that work on targets: so many at once, each replaced where it dies."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import runner
from runner.errors import ConfigurationError, RunnerError
from runner.fleet.targets import Item
from runner.fleet.work import Answer, Asked, one_line, untold

_READ = 1 << 16  # bytes at a time
_SHOWN = 2_000  # bytes of what a process printed before it died


class Ended(NamedTuple):
    """A target that is done with, whatever came of it."""

    item: Item
    answer: Answer


class _Process:
    """One process, the target that it works on, and what it has said of an answer so far."""

    def __init__(self, asked: Asked):
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.worker"],  # not a module of the folder we are in
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            start_new_session=True,  # Ctrl-C is the coordinator's
            env={**os.environ, "PYTHONPATH": str(Path(runner.__file__).parents[1])},
        )
        self.item: Item | None = None
        self.began = 0.0
        self.ready = False
        self._rest = b""
        self._write([*asked])

    def fileno(self) -> int:
        assert self._process.stdout
        return self._process.stdout.fileno()

    def give(self, item: Item, left: float | None) -> None:
        self.item, self.began = item, time.monotonic()
        self._write([item, left])

    def _write(self, value: Any) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # that it died is seen where it is read from
            self._process.stdin.write(json.dumps(value).encode() + b"\n")
            self._process.stdin.flush()

    def read(self) -> list[Any] | None:
        """Return the lines that came, None at their end."""
        data = os.read(self.fileno(), _READ)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines] if data else None

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> str:
        """Let it end, and return how it did, with the end of what it printed."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr] # it was made with both
        code = self._process.wait()
        size = self.said.seek(0, os.SEEK_END)
        self.said.seek(max(0, size - _SHOWN))
        printed = self.said.read().decode(errors="replace").strip().rpartition("\n")[2]
        self.said.close()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{how}: {printed}" if printed else how


class Pool:
    """Processes that are started as they are needed, at most so many at once.

    Parameters:
        most: how many.
        asked: what is to be done in every target.
    """

    def __init__(self, most: int, asked: Asked):
        self._most, self._asked = most, asked
        self._selector = selectors.DefaultSelector()
        self._idle: list[_Process] = []
        self._busy: list[_Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes; one that still works on a target is killed."""
        for process in self._busy:
            process.tell(signal.SIGKILL)
        for process in (*self._busy, *self._idle):
            process.end()
        self._selector.close()

    def free(self) -> bool:
        """Return whether one more target can be given."""
        return len(self._busy) < self._most

    def busy(self) -> int:
        """Return how many targets are worked on."""
        return len(self._busy)

    def give(self, item: Item, left: float | None) -> None:
        """Let a process work on a target.

        Parameters:
            left: seconds that it may take, None: any.
        """
        process = self._idle.pop() if self._idle else self._started()
        self._busy.append(process)
        process.give(item, left)

    def _started(self) -> _Process:
        process = _Process(self._asked)
        self._selector.register(process, selectors.EVENT_READ)
        return process

    def cancel(self, number: signal.Signals) -> None:
        """Tell the processes that work on a target to stop that, by a signal."""
        for process in self._busy:
            process.tell(number)

    def wait(self, seconds: float) -> Iterator[Ended]:
        """Give what ended, as soon as something did, or nothing after some seconds.

        Raises:
            ConfigurationError: a process cannot work on any target.
            RunnerError: one did not even start.
        """
        for key, _ in self._selector.select(seconds):
            process: _Process = key.fileobj  # type: ignore[assignment] # it was registered
            lines = process.read()
            if lines is None:
                yield from self._died(process)
                continue
            for line in lines:
                if process.ready:
                    yield self._answered(process, Answer(*line))
                elif line is None:
                    process.ready = True
                else:
                    raise ConfigurationError(
                        line["message"], fix=line["fix"], details=tuple(line["details"])
                    )

    def _answered(self, process: _Process, answer: Answer) -> Ended:
        item, process.item = process.item, None
        assert item
        self._busy.remove(process)
        self._idle.append(process)
        return Ended(item, answer)

    def _died(self, process: _Process) -> Iterator[Ended]:
        """Forget a process; the target that it worked on has failed."""
        self._selector.unregister(process)
        (self._busy if process in self._busy else self._idle).remove(process)
        how = process.end()
        if not process.ready:
            raise RunnerError(f"a process of the fleet did not start ({how})")
        if process.item:
            error = RunnerError(
                f"the process that worked on it ended ({how})",
                fix="run again: what it did not finish is finished then",
            )
            took = round((time.monotonic() - process.began) * 1000)
            yield Ended(process.item, unanswered(process.item, error, took))


def unanswered(item: Item, error: RunnerError, took: int) -> Answer:
    """Return what is known of a target that nobody has answered for.

    Parameters:
        took: milliseconds that it was worked on.
    """
    document = error.document()
    member = untold(item, "failed")
    member |= {
        "exit_code": error.exit_code, "duration_ms": took, "error": one_line(document),
    }  # fmt: skip
    return Answer(member, error=document)
