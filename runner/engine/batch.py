"""Small, ordinary files share messages: a round trip for many, a transaction for each.

    message   begin 1, file 1, record 1, commit 1, begin 2, file 2, record 2, commit 2, …
    answer    what the log says of all of them

Each file keeps its own timeouts, guard and row in the history. The server ends a message at its
first error: what came before it stays committed, and nothing after it runs. Which files are
recorded is then asked of the history, never concluded from what was sent.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg2
from psycopg2 import errorcodes

from runner.database import checks
from runner.database.session import DISCARD, DISCARD_BUT_PREPARED, Session
from runner.database.watch import Watch
from runner.engine import guard, trace
from runner.engine.attempt import BEGIN, timeouts, watch_job
from runner.engine.conduct import Conduct
from runner.engine.failures import lock_lost
from runner.engine.job import Done, Job
from runner.engine.lock import for_transaction
from runner.engine.outcome import settle
from runner.engine.prepared import Prepared
from runner.engine.transaction import Blocked, Transactions
from runner.history.read import last_events
from runner.history.table import names
from runner.report.wording import first
from runner.signals import held

# A file's name, how many milliseconds it took, and its trace, as the log has them.
Event = tuple[str, int, Any]

_FIRST, _MOST = 32, 128  # files of the first message, and of the largest
_CHARACTERS = 1 << 18  # of all files in a message
_LONG = 0.25  # seconds: where a message took longer, the next one holds fewer files

# What may make the server say something that belongs to one file.
_speaks = re.compile(
    r"\b(if|cascade|insert|update|delete|merge|truncate|refresh|drop|function|procedure)\b",
    re.IGNORECASE,
).search
_MAX_NOTICES = 200  # of one file


class Batches:
    """Runs small, ordinary jobs in shared messages of one session that holds the lock."""

    def __init__(self, session: Session, conduct: Conduct, transactions: Transactions):
        self._session = session
        self._conduct = conduct
        self._transactions = transactions
        self._count = _FIRST
        self._blocked: Job | None = None
        # What ends a file's notices. Code that it runs may say anything, but not know this.
        self._end = f"runner: end of {secrets.token_hex(8)} "

    def take(self, jobs: Sequence[Job], place: int) -> Sequence[Job]:
        """Return the jobs from a place on that shall share a message, none if the first may not."""
        size, found = 0, jobs[place : place + self._count]
        for count, job in enumerate(found):
            alone = not job.plain or job.task.resumes or job is self._blocked
            if alone or (size := size + len(job.text)) > _CHARACTERS:
                found = found[:count]
                break
        return found if len(found) > 1 else ()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Done]]:
        """Run jobs in one message and yield what came of each that was committed.

        Jobs that are left over want messages of their own: a lock was not to be had for the first
        of them, and there it is tried again.

        Raises:
            MigrationFailed: the first that was not committed was rolled back.
            NeedsAttention: it ended the transaction itself.
            Incomplete: the deadline came first.
            Unreachable: the connection was lost, and nobody can be asked what was committed.
        """
        self._conduct.progress.started(jobs[0])
        began = time.monotonic()
        watch = watch_job(self._session, jobs[0], self._conduct, look=False)
        message, starts = self._message(jobs)
        events: list[Event] = []
        error: BaseException | None = None
        try:
            with watch:
                events = self._session.run(message)[0] or []
        except BaseException as raised:  # noqa: BLE001 - raised again, after what was committed
            error = raised
        done = len(jobs)
        if error or not self._all(jobs, events):
            done, error = settle(self._session, jobs, error, self._conduct.deadline)
        self._adapt(time.monotonic() - began, failed=error is not None)
        with held():
            yield from self._done(jobs[:done], events)
        if error and not isinstance(error, psycopg2.Error):
            raise error  # somebody's interrupt, whatever was committed before it
        if done == len(jobs):
            return
        self._blocked = jobs[done]  # its own messages say what is wrong, or try again
        if isinstance(error, psycopg2.Error):
            self._raise(jobs[done], error, starts[done], watch, time.monotonic() - began)

    def _done(self, jobs: Sequence[Job], events: Sequence[Event]) -> Iterator[tuple[Job, Done]]:
        said = self._notices()
        known = {file: (took, traced) for file, took, traced in events}
        for number, job in enumerate(jobs):
            took, traced = known.get(job.migration.name, (0, None))
            notices = said.get(number, [])
            self._conduct.progress.notices(job, notices)
            self._conduct.progress.finished(job, took)
            yield job, Done(took, traced, notices)

    def _raise(
        self, job: Job, error: psycopg2.Error, start: int, watch: Watch, seconds: float
    ) -> None:
        """Raise what an error means for the first job that was not committed, but for a lock."""
        if checks.code(error) == checks.LOCK_LOST:
            raise lock_lost(job) from error
        if error.pgcode == errorcodes.INVALID_SQL_STATEMENT_NAME:
            return  # it did away with what was prepared
        with contextlib.suppress(Blocked):
            self._transactions.fail([job], error, watch, base=-start, seconds=seconds)

    def _message(self, jobs: Sequence[Job]) -> tuple[str, list[int]]:
        """Return the message, and where in it each file's text starts."""
        prepared, message, starts = Prepared(self._session), "", []
        for number, job in enumerate(jobs):
            message += self._opening(job, prepared)
            starts.append(len(message))
            # The file's last line may be a comment, and its last statement may lack its end.
            message += f"{job.text}\n;{self._marked(number) if _speaks(job.text) else ''}"
            same = f"{prepared.call(f'select {guard.SAME}')}; "
            closing = self._transactions.closing(job, prepared, 0, same)
            message += f"{closing}; commit; {DISCARD_BUT_PREPARED}"
        opening = prepared.opening()
        closing = f"{DISCARD}{last_events(names(self._session), len(jobs))}"
        return f"{opening}{message}{closing}", [len(opening) + start for start in starts]

    def _opening(self, job: Job, prepared: Prepared) -> str:
        locked = checks.kept(for_transaction(self._session), checks.LOCK_LOST)
        began = prepared.call(f"select {locked}, {guard.XID}, {trace.OPENED}, {trace.BEGAN}")
        limits = timeouts(job, self._conduct)
        noted = trace.before(job, self._session, prepared.call)
        # Not prepared: what changes the path is planned anew each time.
        return f"{BEGIN}{limits}{noted}{began}; select {self._session.files_path()}; "

    def _all(self, jobs: Sequence[Job], events: Sequence[Event]) -> bool:
        """Return whether the log says of every file, in order, that it was recorded."""
        return [file for file, *_ in events] == [job.migration.name for job in jobs]

    def _notices(self) -> dict[int, list[str]]:
        """Return what the server said of each file, by the marks between them."""
        said: dict[int, list[str]] = {}
        waiting: list[str] = []
        for text in self._session.notices():
            number = text.rpartition(self._end)[2]
            if self._end in text and number.isdecimal():
                said[int(number)] = first(waiting, _MAX_NOTICES, "notices")
                waiting = []
            else:
                waiting.append(text)
        return said

    def _marked(self, number: int) -> str:
        return f"do $mark$ begin raise notice '{self._end}{number}'; end $mark$; "

    def _adapt(self, seconds: float, *, failed: bool) -> None:
        """Let the next message hold as many files as a watcher has patience for."""
        if failed or seconds > _LONG:
            self._count = max(2, self._count // 2)
        elif seconds < _LONG / 2:
            self._count = min(_MOST, self._count * 2)
