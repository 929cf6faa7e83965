"""Which target is next, and when none is any more: canaries first, failures counted, signals."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import NamedTuple

from runner.deadline import Deadline
from runner.fleet.pool import Ended, Pool
from runner.fleet.targets import Item
from runner.fleet.work import Asked
from runner.signals import told

_LOOK = 0.5  # seconds after which deadline and signals are looked at


class Bounds(NamedTuple):
    """How many: at once, first and alone as canaries, and that may fail before no more start."""

    at_once: int
    canaries: int = 0
    tolerated: int = 0


class Coordinator:
    """Works through targets in their order.

    Parameters:
        progress: is told what keeps further targets from being started.
    """

    def __init__(
        self,
        items: Sequence[Item],
        bounds: Bounds,
        deadline: Deadline,
        progress: Callable[[str], None],
    ):
        self._waiting = deque(items)
        self._bounds, self._deadline, self._progress = bounds, deadline, progress
        self._started = self._ended = self._failed = self._signals = 0
        self.stopped: str | None = None
        self._pool: Pool

    @property
    def interrupted(self) -> bool:
        """Whether somebody wanted it to end."""
        return self._signals > 0

    @property
    def waiting(self) -> Sequence[Item]:
        """The targets that were not started."""
        return self._waiting

    def work(self, asked: Asked) -> Iterator[Ended]:
        """Do what is asked in target after target; give what came of each as it ends.

        Raises:
            ConfigurationError, RunnerError: no process can work for it.
        """
        most = min(self._bounds.at_once, len(self._waiting))
        with told(self._signalled), Pool(most, asked) as self._pool:
            while True:
                while self._pool.free() and self._next():
                    self._started += 1
                    self._pool.give(self._waiting.popleft(), self._deadline.left())
                if not self._pool.busy():
                    return
                for ended in self._pool.wait(_LOOK):
                    self._ended += 1
                    self._failed += ended.answer.error is not None
                    yield ended

    def _next(self) -> bool:
        """Return whether another target may be started now."""
        if not self._waiting or self.stopped:
            return False
        canaries = min(self._bounds.canaries, self._started)
        if self._failed and self._ended <= canaries == self._bounds.canaries:
            self._stop("a canary failed")
        elif self._failed > self._bounds.tolerated:
            self._stop(f"{self._failed} failed, and {self._bounds.tolerated} may")
        elif self._deadline.passed():
            self._stop("the deadline came")
        elif self._started >= self._bounds.canaries > self._ended:
            return False  # until each of them is known to be well
        return not self.stopped

    def _stop(self, why: str) -> None:
        self.stopped = why
        left, busy = len(self._waiting), self._pool.busy()
        self._progress(f"{why}: {left} are not started" + (f", {busy} end" if busy else ""))

    def _signalled(self, _: int, __: FrameType | None) -> None:
        """Let the first signal keep further targets from being started, the second end them."""
        self._signals += 1
        if self._signals == 1:
            self._stop("interrupted (once more to cancel what runs)")
        else:
            self._pool.cancel(signal.SIGTERM if self._signals == 2 else signal.SIGKILL)  # noqa: PLR2004
