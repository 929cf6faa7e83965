"""Pauses of a backfill: between two batches, and for as long as the server has other work."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg2
from psycopg2 import errorcodes

from runner.database.checks import said
from runner.database.session import Session
from runner.engine.conduct import Conduct
from runner.engine.throttle import Hours, Throttle
from runner.errors import ConfigurationError
from runner.report.wording import duration, many

_LOOK = 1.0  # seconds between two looks at the server, while it is throttled and while it is not

# Where replicas share the storage, nobody streams to them; the function is Aurora's.
_AURORA = "pg_catalog.to_regproc('pg_catalog.aurora_replica_status') is not null"
_AURORA_LAG = """select pg_catalog.max(replica_lag_in_msec)::float8
    from pg_catalog.aurora_replica_status() where session_id <> 'MASTER_SESSION_ID'"""
_LAG = """select pg_catalog.max(extract(epoch from replay_lag) * 1000)::float8
    from pg_catalog.pg_stat_replication"""
_ACTIVE = """select pg_catalog.count(*) from pg_catalog.pg_stat_activity
    where state = 'active' and backend_type = 'client backend'
      and pid <> pg_catalog.pg_backend_pid()"""
_SEES = "select pg_catalog.pg_has_role('pg_read_all_stats', 'usage')"
_TIME = "(pg_catalog.clock_timestamp() at time zone %s)::time"


class Waiting:
    """Lets a backfill wait where its throttle says so.

    Parameters:
        session: no transaction is open in it while it waits.

    Raises:
        ConfigurationError: what the throttle asks for cannot be seen.
    """

    def __init__(self, session: Session, conduct: Conduct):
        self._session = session
        self._conduct = conduct
        self._throttle: Throttle = conduct.throttle
        self._lag = _LAG
        self._looked = float("-inf")
        self.reason: str | None = None
        self.waited = False
        self._prepare()

    def _prepare(self) -> None:
        asks = self._throttle
        if asks.lag is not None and self._session.run(f"select {_AURORA}")[0]:
            self._lag = _AURORA_LAG
        elif (asks.lag or asks.active) is not None and not self._session.run(_SEES)[0]:
            raise ConfigurationError(
                "a backfill that heeds replicas or sessions must see them, and the login may not",
                fix="grant pg_read_all_stats to the migrating role, or leave the limit out",
            )
        if asks.hours:
            self._is_open(asks.hours)

    def pause(self, name: str, took: float) -> bool:
        """Wait for as long as it must; return False where the deadline came meanwhile.

        Parameters:
            name: the file's.
            took: seconds that the last batch took.
        """
        asked = self._throttle.pause
        if took and not self._sleep(took * asked.share + asked.ms / 1000):
            return False
        if not self._throttle.looks or time.monotonic() - self._looked < _LOOK:
            return True
        told = None
        while (reason := next(self._reasons(), None)) is not None:
            self.reason, self.waited = reason[1], True
            if reason[0] != told:
                self._conduct.progress.note(f"{name} waits: {reason[1]}")
                told = reason[0]
            if not self._sleep(_LOOK):
                return False
        if told:
            self._conduct.progress.note(f"{name} goes on")
        self.reason, self._looked = None, time.monotonic()
        return True

    def _sleep(self, seconds: float) -> bool:
        """Sleep for at most that long; return False where the deadline comes first."""
        left = self._conduct.deadline.left()
        time.sleep(seconds if left is None else min(seconds, left))
        return not self._conduct.deadline.passed()

    def _reasons(self) -> Iterator[tuple[str, str]]:
        """Give why it waits: which limit, and in words."""
        asks = self._throttle
        if asks.hours and not self._is_open(asks.hours):
            yield "hours", f"it works from {asks.hours.start} to {asks.hours.end} {asks.hours.zone}"
        if asks.active is not None:
            count = self._session.run(_ACTIVE)[0]
            if count > asks.active:
                others = many(count, "other session")
                yield "active", f"{others} at work, more than {asks.active}"
        if asks.lag is not None:
            lag = self._session.run(self._lag)[0]
            if lag and lag > asks.lag:
                yield "lag", f"a replica is {duration(lag)} behind, more than {duration(asks.lag)}"

    def _is_open(self, hours: Hours) -> bool:
        inside = "n >= s::time and n < e::time"
        if hours.start > hours.end:
            inside = "n >= s::time or n < e::time"
        try:
            row = self._session.run(
                f"select {inside} from (select {_TIME}, %s, %s) h (n, s, e)",
                (hours.zone, hours.start, hours.end),
            )
        except psycopg2.Error as error:
            if error.pgcode != errorcodes.INVALID_PARAMETER_VALUE:
                raise
            raise ConfigurationError(f"the hours of backfills: {said(error)}") from error
        return bool(row[0])
