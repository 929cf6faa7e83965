"""How a run behaves while it works."""

from __future__ import annotations

from typing import NamedTuple

from runner.deadline import Deadline
from runner.engine.progress import Progress
from runner.engine.throttle import Throttle


class Conduct(NamedTuple):
    """How a run behaves: towards locks, its deadline, and the person who watches.

    `lock_timeout` is milliseconds, for files that do not say it themselves; `lock_attempts` is
    how often a file is tried in all; `throttle` is for backfills.
    """

    deadline: Deadline
    progress: Progress
    lock_timeout: int = 2_000
    lock_attempts: int = 10
    throttle: Throttle = Throttle()
