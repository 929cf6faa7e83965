"""Who is told what happens, while it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runner.engine.job import Job
    from runner.result import Backfill


class Progress(Protocol):
    """Who is told what happens, while it happens."""

    def note(self, text: str) -> None:
        """Take a line for a person."""

    def planned(self, count: int) -> None:
        """Take how many files are to run."""

    def started(self, job: Job) -> None:
        """Take the file that begins."""

    def tick(self, job: Job, seconds: float) -> None:
        """Take the time that a file has been running."""

    def moved(self, job: Job, backfill: Backfill) -> None:
        """Take how far a backfill is, about twice a second."""

    def notices(self, job: Job, texts: list[str]) -> None:
        """Take what the server had to say."""

    def finished(self, job: Job, duration_ms: int) -> None:
        """Take the file that was applied and recorded."""

    @property
    def wants_ticks(self) -> bool:
        """Whether the running clock is shown."""


class Silence:
    """Progress that nobody wants to see."""

    wants_ticks = False

    def note(self, text: str) -> None:
        """Say nothing."""

    def planned(self, count: int) -> None:
        """Say nothing."""

    def started(self, job: Job) -> None:
        """Say nothing."""

    def tick(self, job: Job, seconds: float) -> None:
        """Say nothing."""

    def moved(self, job: Job, backfill: Backfill) -> None:
        """Say nothing."""

    def notices(self, job: Job, texts: list[str]) -> None:
        """Say nothing."""

    def finished(self, job: Job, duration_ms: int) -> None:
        """Say nothing."""
