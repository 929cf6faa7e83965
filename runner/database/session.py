"""A session that holds the runner's lock and is the same before each file."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as Connection

from runner.database import connection as connecting
from runner.database.watch import describe_session, lock_holder
from runner.errors import LockNotObtained, Unreachable
from runner.history.table import TABLE

# The lock is the database's; its number comes from the history's name, so that two
# histories in one database do not wait for each other.
LOCK_KEY = int.from_bytes(hashlib.sha256(TABLE.encode()).digest()[:8], "big", signed=True)

_MARGIN = 5.0  # seconds kept for recording and for the answer before a deadline
_POLL = (0.1, 2.0)  # seconds: first and longest pause between two tries for the lock

_ITSELF = "reset session authorization; reset role; "
# In a transaction of its own: a BEGIN that follows in the same message would take it into the
# next file's, whose rollback would bring back the temporary tables and what was listened to.
FORGET = "begin; discard temp; discard sequences; deallocate all; close all; unlisten *; commit; "

# A session may take its own lock any number of times, so asking for it again costs nothing.
# pg_advisory_unlock_all() in a file lets it go, but not the second one, which is the
# transaction's: nobody can come in between before the commit takes the first one again.
LOCK = f"pg_catalog.pg_try_advisory_lock({LOCK_KEY})"
TRANSACTION_LOCK = f"pg_catalog.pg_try_advisory_xact_lock({LOCK_KEY})"
_OUTCOME = 60.0  # seconds to wait for a server to end the transaction of a lost connection


class Deadline:
    """The moment when the run must have stopped.

    Parameters:
        seconds: from now; None: never.
    """

    def __init__(self, seconds: float | None = None):
        self._at = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds that work may still take, None where there is no deadline."""
        return None if self._at is None else max(0.0, self._at - _MARGIN - time.monotonic())

    def passed(self) -> bool:
        """Return whether nothing more may be started."""
        return self.left() == 0.0


class Server(NamedTuple):
    """What the session was found to be."""

    pid: int
    version: int
    version_text: str
    database: str
    login: str


class Session:
    """An autocommit connection that was looked at and set up; transactions are written out.

    Parameters:
        target: the database.
        run_id: shown in application_name.
        wait: seconds to wait for a server that does not answer.

    Raises:
        Unreachable: no connection, or one that cannot serve: a standby, read-only, a pooler.
    """

    def __init__(
        self,
        target: connecting.Target,
        *,
        run_id: str,
        wait: float,
        progress: Callable[[str], None] = lambda _: None,
    ):
        self.target = target
        self.run_id = run_id
        self.wait = wait
        self.connection: Connection = connecting.connect(
            target, run_id=run_id, wait=wait, progress=progress
        )
        try:
            self.server = self._inspect()
            self.run(self.clean())
        except psycopg2.Error as error:
            self.close()
            raise Unreachable(f"the session cannot be set up: {str(error).strip()}") from error
        except BaseException:
            self.close()
            raise

    def run(self, sql: str, values: tuple[Any, ...] | None = None) -> Any:
        """Send one message and return the first row of its last result, None without one."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone() if cursor.description else None

    def clean(self) -> str:
        """Return the SQL that makes the session as it is before each file."""
        settings = connecting.settings(self.server.version)
        return f"{_ITSELF}reset all; {settings}{self._set_role()}"

    def as_itself(self) -> str:
        """Return the SQL that takes back only the role that a file may have taken."""
        return _ITSELF + self._set_role()

    def within(self) -> str:
        """Return the SQL that takes it back for the rest of a transaction only.

        Afterwards the session is again what the file made it: SET LOCAL covers a SET before it.
        """
        return "set local session authorization default; set local role none; " + self._set_role(
            "local role"
        )

    def _set_role(self, what: str = "role") -> str:
        if not self.target.role:
            return ""
        quoted = self.target.role.replace('"', '""')
        return f'set {what} "{quoted}"; '

    def lock(self, *, wait: float, deadline: Deadline, progress: Callable[[str], None]) -> None:
        """Take the runner's lock, polling: a waiting statement would block index builds.

        Parameters:
            wait: seconds to try.

        Raises:
            LockNotObtained: naming the holder.
        """
        until = time.monotonic() + wait
        pause, longest = _POLL
        told = False
        while not self.run(f"select {LOCK}")[0]:
            holder = lock_holder(self.connection, LOCK_KEY)
            if time.monotonic() >= until or deadline.passed():
                raise LockNotObtained(
                    f"another run holds the runner's lock (waited {wait:.0f} s)",
                    details=(f"held by {describe_session(holder)}",) if holder else (),
                    fix="wait for it and run again; a runner that died frees it within seconds",
                )
            if not told:
                progress(
                    "waiting for another run" + (f": {describe_session(holder)}" if holder else "")
                )
                told = True
            time.sleep(pause)
            pause = min(pause * 1.5, longest)

    def notices(self) -> list[str]:
        """Return what the server said since the last call."""
        said = [notice.strip() for notice in self.connection.notices]
        self.connection.notices.clear()
        return said

    def lost(self) -> bool:
        """Return whether the connection is gone."""
        return bool(self.connection.closed)

    def rollback(self) -> None:
        """End an open transaction, where the connection still lives."""
        if not self.lost() and (self.connection.info.transaction_status != TRANSACTION_STATUS_IDLE):
            with contextlib.suppress(psycopg2.Error):  # lost without our having noticed
                self.run("rollback")

    def close(self) -> None:
        """Close the connection, and with it free the lock."""
        self.connection.close()

    def committed(self, xid: str) -> bool:
        """Return whether a transaction whose commit was not answered was committed.

        Asks over a new connection where this one was lost.

        Raises:
            Unreachable: the server cannot be asked, or had not decided after a minute.
        """
        if not self.lost():
            return self._outcome(xid) == "committed"
        other = Session(self.target, run_id=self.run_id, wait=self.wait)
        try:
            until = time.monotonic() + _OUTCOME
            while (outcome := other._outcome(xid)) == "in progress":
                if time.monotonic() >= until:
                    raise Unreachable(f"transaction {xid} of the lost connection has not ended")
                time.sleep(_POLL[0])
        finally:
            other.close()
        return outcome == "committed"

    def _outcome(self, xid: str) -> str:
        return str(self.run("select pg_catalog.pg_xact_status(%s::xid8)", (xid,))[0])

    def _inspect(self) -> Server:
        row = self.run(connecting.INSPECT)
        pid, standby, read_only, version, version_text, database, login = row
        problem = None
        if standby:
            problem = "this server is a standby", "connect to the writer (the cluster endpoint)"
        elif read_only:
            problem = (
                "this session is read-only",
                ("connect to the writer and unset default_transaction_read_only"),
            )
        elif pid != self.connection.info.backend_pid:
            problem = (
                "a connection pooler is in between, and it may move the session",
                ("connect to the database itself: the runner's lock lives in the session"),
            )
        elif version < 130000:  # noqa: PLR2004
            problem = f"PostgreSQL {version_text} is too old", "13 or newer is needed"
        if problem:
            raise Unreachable(problem[0], fix=problem[1])
        return Server(pid, version, version_text, database, login)
