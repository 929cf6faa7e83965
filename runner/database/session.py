"""A session that is the same before each file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as Connection

from runner import signals
from runner.database import connection as connections
from runner.database.quoting import identifier, text
from runner.database.watch import cut_at
from runner.deadline import backoff
from runner.errors import Unreachable
from runner.report.wording import and_more

# Before statements of ours in a transaction in which a file may have set another path.
SAFELY = f"set local search_path = {connections.SAFE_PATH}; "

_ITSELF = "reset session authorization; reset role; "
# In a transaction of its own: a BEGIN that follows in the same message would take it into the
# next file's, whose rollback would bring back the temporary tables and what was listened to.
_LEFT = "discard temp; discard sequences; close all; unlisten *; "
DISCARD = f"begin; {_LEFT}deallocate all; commit; "
# Between files that share a message, and with it what is prepared.
DISCARD_BUT_PREPARED = f"begin; {_LEFT}commit; "

# A session that only looks waits for nobody long.
_LOOKING = "set default_transaction_read_only = on; set lock_timeout = '2s'; "

_Prepare = Callable[[Connection], tuple[Connection, str | None]]

_PAUSES = (0.25, 5.0)  # seconds: first and longest between two looks whether a standby still is one
_NOTICES = 5_000  # that are kept until somebody asks for them; what more there is is counted
_NOTICE = 2_000  # characters of one


class _Notices:
    """What the server says, as psycopg2 appends it; its own list keeps the last 50 only."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._more = 0

    def append(self, text: str) -> None:
        """Take a notice."""
        if len(self._kept) < _NOTICES:
            self._kept.append(text.strip()[:_NOTICE])
        else:
            self._more += 1

    def take(self) -> list[str]:
        """Return what was said since the last time."""
        said = and_more(self._kept, self._more, "notices")
        self._kept, self._more = [], 0
        return said


class _Standby(Unreachable):
    """What was reached replays another server's log: for a moment, while one takes over."""


class Server(NamedTuple):
    """What the session was found to be; `path` is the search_path that it has by itself."""

    pid: int
    version: int
    version_text: str
    database: str
    login: str
    path: str


class Session:
    """An autocommit connection that was looked at and set up; transactions are written out.

    Parameters:
        target: the database.
        run_id: shown in application_name.
        wait: seconds to wait for a server that does not answer, or is a standby for a moment.
        read_only: nothing can be written in it.
        patience: seconds until it must have been set up, and that its statements may wait for a
            lock, where that is less than usual; None: no bound.
        prepare: is given the connection, and returns one to go on with and the role to act as in
            it; by default they are the same one and the target's role.

    Raises:
        Unreachable: no connection, or one that cannot serve: a standby, read-only, a pooler.
    """

    def __init__(
        self,
        target: connections.Target,
        *,
        run_id: str,
        wait: float,
        read_only: bool = False,
        patience: float | None = None,
        progress: Callable[[str], None] = lambda _: None,
        prepare: _Prepare | None = None,
    ):
        self.target = target
        self.run_id = run_id
        self.wait = wait
        self._extra = _LOOKING if read_only else ""
        began = time.monotonic()
        if patience is not None and patience < connections.LOCK:
            self._extra += f"set lock_timeout = {max(1, round(patience * 1000))}; "
        self._notices = _Notices()
        pauses = backoff(*_PAUSES)
        while True:
            left = max(0.0, began + wait - time.monotonic())
            self.connection: Connection = connections.connect(
                target, run_id=run_id, wait=left, progress=progress
            )
            try:
                self._set_up(None if patience is None else began + patience, prepare)
            except _Standby as error:
                self.close()
                left = began + wait - time.monotonic()
                if left <= 0:
                    raise
                progress(f"waiting for the writer (up to {left:.0f} s more): {error.message}")
                time.sleep(min(next(pauses), left))
            except psycopg2.Error as error:
                self.close()
                raise Unreachable(f"the session cannot be set up: {str(error).strip()}") from error
            except BaseException:
                self.close()
                raise
            else:
                return

    def run(self, sql: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """Send one message and return the first row of its last result, None without one."""
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(sql, values)
            finally:
                signals.again()
            return cursor.fetchone() if cursor.description else None

    def reset(self) -> str:
        """Return the SQL that makes the session as it is before each file."""
        settings = connections.settings(self.server.version)
        return f"{_ITSELF}reset all; {settings}{self._extra}{self._set_role()}"

    def own_role(self) -> str:
        """Return the SQL that takes back only the role that a file may have taken."""
        return _ITSELF + self._set_role()

    def own_role_locally(self) -> str:
        """Return the SQL that takes it back for the rest of a transaction only.

        Afterwards the session is again what the file made it: SET LOCAL covers a SET before it.
        """
        return "set local session authorization default; set local role none; " + self._set_role(
            "local role"
        )

    def files_path(self) -> str:
        """Return an SQL expression that gives a transaction the search_path that files start with.

        What stands in the same statement was looked up before it, in the one of ours.
        """
        return f"pg_catalog.set_config('search_path', {text(self.server.path)}, true)"

    def look(self, sql: str, values: Sequence[Any] | Mapping[str, Any]) -> Any:
        """Return the first row of a query of ours, whatever search_path a file has set.

        No transaction may be open: the message is one by itself.
        """
        return self.run(f"{SAFELY}{sql}", values)

    def has_schema(self) -> bool:
        """Return whether the target's schema is there, where it is one."""
        there = "select exists (select from pg_catalog.pg_namespace where nspname = %s)"
        return self.target.schema is None or bool(self.run(there, (self.target.schema,))[0])

    def resolve(self, names: Sequence[str | None]) -> list[int | None]:
        """Return the ids of relations that a file's text names, None where there is none."""
        return self._resolved("", names)

    def resolve_for_files(self, names: Sequence[str]) -> list[int | None]:
        """Return the ids of relations as `resolve` does, by the path that files start with.

        No transaction may be open: the message is one by itself.
        """
        return self._resolved(f"select {self.files_path()}; ", names)

    def _resolved(self, before: str, names: Sequence[str | None]) -> list[int | None]:
        row = self.run(
            f"{before}select pg_catalog.array_agg(pg_catalog.to_regclass(n)::pg_catalog.oid"
            " order by o) from pg_catalog.unnest(%s::pg_catalog.text[]) with ordinality u (n, o)",
            (list(names),),
        )
        return list(row[0] or [])

    def _set_role(self, what: str = "role") -> str:
        role = self._role
        return f"set {what} {identifier(self.connection, role)}; " if role else ""

    def notices(self) -> list[str]:
        """Return what the server said since the last call, and how much more it was."""
        return self._notices.take()

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

    def has_committed(self, xid: str) -> bool:
        """Return whether a transaction of this session was committed, while it still lives.

        A session that was lost cannot say: after a server's crash the id is somebody else's.
        """
        return str(self.run("select pg_catalog.pg_xact_status(%s::xid8)", (xid,))[0]) == "committed"

    def _set_up(self, until: float | None, prepare: _Prepare | None) -> None:
        """Set the session up before a moment of the clock, with another connection if need be."""
        left = None if until is None else max(0.0, until - time.monotonic())
        with cut_at(self.connection, left):
            self.connection.notices = self._notices  # type: ignore[assignment] # has append()
            self.server = self._inspect()
            own = self.connection, self.target.role
            connection, self._role = prepare(self.connection) if prepare else own
            if connection is self.connection:
                self.run(self.reset())
                return
        self.close()
        self.connection, role = connection, self._role
        self._set_up(until, lambda same: (same, role))

    def _inspect(self) -> Server:
        row = self.run(connections.INSPECT)
        pid, standby, read_only, version, version_text, database, login, path = row
        problem = None
        if standby:
            raise _Standby(
                "this server is a standby", fix="connect to the writer (the cluster endpoint)"
            )
        if read_only:
            problem = (
                "this session is read-only",
                ("connect to the writer and unset default_transaction_read_only"),
            )
        elif pid != self.connection.info.backend_pid:
            problem = (
                "a connection pooler is in between, and it may move the session",
                ("connect to the database itself: the runner's lock lives in the session"),
            )
        elif (wanted := self.target.path()) and path != wanted:
            problem = (
                f"the session looks for names in {path}, and the target's schema is to be first",
                "something in between takes the options of a login away: connect without it",
            )
        elif version < 130000:  # noqa: PLR2004
            problem = f"PostgreSQL {version_text} is too old", "13 or newer is needed"
        if problem:
            raise Unreachable(problem[0], fix=problem[1])
        return Server(pid, version, version_text, database, login, path)
