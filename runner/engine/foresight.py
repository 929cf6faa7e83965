"""What can be told of backfills before anything runs: whether they can, and how much it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.database.session import Session
from runner.engine import key as keys
from runner.engine.conduct import Conduct
from runner.engine.job import Job
from runner.engine.key import Key, Unusable
from runner.engine.standing import seen, standing
from runner.engine.waiting import Waiting
from runner.files.directives import Batch
from runner.history.table import Checkpoint
from runner.result import Backfill
from runner.syntax.locks import is_opaque
from runner.syntax.names import says
from runner.syntax.scanner import scan


def require(session: Session, conduct: Conduct, jobs: Sequence[Job]) -> None:
    """Refuse a backfill that has no usable key, unless a file before it may still make one.

    Raises:
        Unusable: naming the file.
        ConfigurationError: its throttle cannot be heeded.
    """
    if any(_backfills(jobs)):
        Waiting(session, conduct)
    for job, batch, _ in _known(jobs):
        try:
            keys.find(session, batch)
        except Unusable as error:
            error.message = f"{job.migration.name}: {error.message}"
            raise


def expected(session: Session, jobs: Sequence[Job]) -> dict[str, Backfill]:
    """Return how far the backfills among some jobs are, and how much is left, by file."""
    found = {}
    for job, batch, point in _backfills(jobs):
        try:
            key: Key | None = keys.find(session, batch)
        except Unusable:  # it is made by a file before it
            key = None
        name = job.migration.name
        if key:
            begun = point or Checkpoint("", total=keys.total(session, key))
            found[name] = seen(session, key, batch, begun)
        else:
            found[name] = standing(batch, point)
    return found


def may_touch(job: Job, table: str) -> bool:
    """Return whether a file names a table, or runs code that may do so unseen."""
    return (
        job.whole is None
        or says(job.whole, table)
        or any(is_opaque(statement) for statement in scan(job.whole))
    )


def _known(jobs: Sequence[Job]) -> Iterator[tuple[Job, Batch, Checkpoint | None]]:
    """Yield the backfills whose tables no file before them may change."""
    for place, job in enumerate(jobs):
        for found in _backfills([job]):
            batch = found[1]
            if not any(may_touch(earlier, batch.table) for earlier in jobs[:place]):
                yield found


def _backfills(jobs: Sequence[Job]) -> Iterator[tuple[Job, Batch, Checkpoint | None]]:
    for job in jobs:
        row, batch = job.task.resumes, job.migration.directives.batch
        if batch:
            begun = row.checkpoint if row and row.state != "applied" else None
            yield job, batch, begun
