"""Time that is left, and time to wait before trying again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

MARGIN = 5.0  # seconds kept for recording and for the answer before a deadline


_FOREVER = 1e9  # seconds: what outlasts every run


class Deadline:
    """The moment when the run must have stopped.

    Parameters:
        seconds: from now; None: never.
    """

    def __init__(self, seconds: float | None = None):
        self._at = None if seconds is None else time.monotonic() + min(seconds, _FOREVER)

    def left(self) -> float | None:
        """Return the seconds that work may still take, None where there is no deadline."""
        return None if self._at is None else max(0.0, self._at - MARGIN - time.monotonic())

    def passed(self) -> bool:
        """Return whether nothing more may be started."""
        return self.left() == 0.0


def backoff(first: float, longest: float, *, factor: float = 2.0) -> Iterator[float]:
    """Yield the pauses between tries, in seconds: each longer than the last, and jittered.

    Jitter keeps runners that failed together from trying together again.

    Parameters:
        first: the first pause, in seconds.
        longest: the most that a pause grows to, in seconds.
        factor: by how much each pause is longer than the one before.
    """
    pause = first
    while True:
        yield pause * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        pause = min(pause * factor, longest)
