"""Whether files whose commit was not answered took effect: the history is asked, nothing else.

An id of a transaction is no answer: after a server's crash it is given to somebody else's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg2

from runner.database.session import Session
from runner.deadline import Deadline, backoff
from runner.engine.job import Job
from runner.errors import Unreachable
from runner.history.read import Standing, standings

_T = TypeVar("_T")

_LIVES = """select exists (
    select from pg_catalog.pg_locks where locktype = 'advisory' and pid = %s)"""
_ENDING = 60.0  # seconds to wait for a server to end the session of a lost connection
_TRIES = 3  # of the question
_POLL = (0.1, 2.0)  # seconds: first and longest pause between two looks at it


def settle(
    session: Session, jobs: Sequence[Job], error: BaseException | None, deadline: Deadline
) -> tuple[int, BaseException | None]:
    """End what is open, and say how many of the jobs, from the first, this run has recorded.

    An interrupt may arrive as late as here; what was committed is asked for all the same.

    Parameters:
        error: what ended the message that was to record them.
        deadline: nobody is asked for longer than that leaves.

    Returns:
        The number, and the error that counts: the last interrupt, else the one given.

    Raises:
        Unreachable: the connection was lost, and nobody can be asked.
    """
    tries = _TRIES
    while True:
        try:
            session.rollback()
            return _recorded(session, jobs, deadline), error
        except KeyboardInterrupt as late:
            error = late
        except psycopg2.OperationalError:  # an interrupt's cancel that came late, or a lost line
            tries -= 1
            if not tries:
                raise


def _recorded(session: Session, jobs: Sequence[Job], deadline: Deadline) -> int:
    keys = [job.migration.key for job in jobs]
    found = asked(session, jobs, deadline, lambda living: standings(living, keys))
    count = 0
    for job in jobs:
        if not _is_done(job, found.get(job.migration.key), session.run_id):
            break
        count += 1
    return count


def _is_done(job: Job, found: Standing | None, run_id: str) -> bool:
    if job.task.action == "undo":
        return found is None
    return found == Standing("applied", job.migration.checksum, run_id)


def asked(
    session: Session, jobs: Sequence[Job], deadline: Deadline, question: Callable[[Session], _T]
) -> _T:
    """Ask the history, over a new connection where the session's is lost, once that has ended.

    Raises:
        Unreachable: the connection was lost, and nobody can be asked.
    """
    if not session.lost():
        return question(session)
    left = deadline.left()
    wait = session.wait if left is None else min(session.wait, max(left, 1.0))
    try:
        other = Session(session.target, run_id=session.run_id, wait=wait, patience=left and wait)
    except Unreachable as error:
        names = ", ".join(job.migration.name for job in jobs)
        raise Unreachable(
            "the connection was lost, and nobody can be asked which files were committed"
            f" (of {names})",
            details=(error.message,),
            fix="when the database answers: runner status, or simply run again",
        ) from error
    try:
        _wait_for_end(session, other, _ENDING if left is None else min(_ENDING, left))
        return question(other)
    finally:
        other.close()


def _wait_for_end(lost: Session, other: Session, seconds: float) -> None:
    """Wait until the lost session is gone, which may go on with its message until it notices.

    It holds a lock of the runner's for as long as it lives.
    """
    until = time.monotonic() + seconds
    for pause in backoff(*_POLL):
        if not other.run(_LIVES, (lost.server.pid,))[0]:
            return
        if time.monotonic() > until:
            raise Unreachable("the lost session is still at work: run again when it has ended")
        time.sleep(pause)
