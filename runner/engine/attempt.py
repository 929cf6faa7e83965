"""What both kinds of migration share while they run: progress, pauses, the watch, sending."""

from __future__ import annotations

import io
import random
import time
from typing import NamedTuple, Protocol

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from runner.database import connection as connecting
from runner.database.session import Deadline, Session
from runner.database.watch import Watch
from runner.engine.job import Job, Message
from runner.files.directives import milliseconds
from runner.syntax.statements import Statement

# Whatever the database's own defaults are.
BEGIN = "begin isolation level read committed read write; "

_FOREVER = 2**31 - 1  # milliseconds: the most that statement_timeout takes
_PERIODS = (0.02, 1.0)  # seconds: shortest and longest between two looks at a running file
_PAUSES = (0.5, 30.0)  # seconds: first and longest pause between two attempts


class Settings(NamedTuple):
    """How a run treats locks: the timeout as PostgreSQL writes it, and the attempts in all."""

    lock_timeout: str = "2s"
    lock_attempts: int = 10


class Progress(Protocol):
    """Who is told what happens, while it happens."""

    def note(self, text: str) -> None:
        """Take a line for a person."""

    def started(self, job: Job) -> None:
        """Take the file that begins."""

    def tick(self, job: Job, seconds: float) -> None:
        """Take the time that a file has been running."""

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

    def started(self, job: Job) -> None:
        """Say nothing."""

    def tick(self, job: Job, seconds: float) -> None:
        """Say nothing."""

    def notices(self, job: Job, texts: list[str]) -> None:
        """Say nothing."""

    def finished(self, job: Job, duration_ms: int) -> None:
        """Say nothing."""


class Conduct(NamedTuple):
    """How a run behaves: towards locks, its deadline, and the person who watches."""

    settings: Settings
    deadline: Deadline
    progress: Progress


def pause(attempt: int, deadline: Deadline) -> bool:
    """Sleep before the next attempt, longer each time and jittered; False where time is short."""
    first, longest = _PAUSES
    seconds = min(longest, first * 2 ** (attempt - 1)) * random.uniform(0.7, 1.3)  # noqa: S311
    left = deadline.left()
    if left is not None and left <= seconds:
        return False
    time.sleep(seconds)
    return True


def timeouts(job: Job, conduct: Conduct) -> str:
    """Return the SQL that sets a transaction's timeouts.

    The server ends a statement in time even where the client has died.
    """
    lock = milliseconds(job.migration.directives.lock_timeout or conduct.settings.lock_timeout)
    limit = _statement_limit(job, conduct.deadline)
    return f"set local lock_timeout = {lock}; set local statement_timeout = {limit}; "


def limits(job: Job, conduct: Conduct, statement: Statement) -> str:
    """Return the SQL that sets the timeouts of a statement outside a transaction.

    What works concurrently waits for locks without harm to others, so none of its waits is
    cut short unless the file asks for it.
    """
    wanted = job.migration.directives.lock_timeout
    if not wanted:
        harmless = "CONCURRENTLY" in statement.tokens()
        wanted = "0" if harmless else conduct.settings.lock_timeout
    limit = _statement_limit(job, conduct.deadline)
    return f"set lock_timeout = {milliseconds(wanted)}; set statement_timeout = {limit}"


def _statement_limit(job: Job, deadline: Deadline) -> int:
    """Return the milliseconds that a statement may take: what the file asks for and time allows."""
    limit = milliseconds(job.migration.directives.statement_timeout or "0")
    left = deadline.left()
    return limit if left is None else min(limit or _FOREVER, max(1, round(left * 1000)))


def watch_job(session: Session, job: Job, conduct: Conduct, *, look: bool) -> Watch:
    """Return the watch over a job's statements.

    Parameters:
        look: also see who blocks them, because this attempt may be the last. Where there is a
            deadline every attempt may be.
    """
    left = conduct.deadline.left()
    lock = milliseconds(job.migration.directives.lock_timeout or conduct.settings.lock_timeout)

    def tick(seconds: float) -> None:
        conduct.progress.tick(job, seconds)

    def eye() -> Connection:
        return connecting.connect(session.target, run_id=session.run_id, wait=0)

    return Watch(
        session.connection,
        seconds=left,
        tick=tick if conduct.progress.wants_ticks else None,
        look=eye if look or left is not None else None,
        period=min(max(lock / 3000, _PERIODS[0]), _PERIODS[1]) if lock else _PERIODS[1],
    )


def send(cursor: Cursor, job: Job, message: Message) -> None:
    """Send a part of a file, as it is, and the COPY data that follows it."""
    sql = job.text[message.start : message.end]
    if message.copy_data:
        cursor.copy_expert(sql, io.StringIO(job.text[slice(*message.copy_data)]))
    else:
        cursor.execute(sql)
