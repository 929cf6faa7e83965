"""What changed in the schema outside the migrations, since the last run."""

from __future__ import annotations

import psycopg2

from runner.database import catalog
from runner.database.catalog import Catalog
from runner.database.checks import said
from runner.database.session import Session
from runner.errors import ConfigurationError, ValidationFailed
from runner.history import read, write
from runner.history.table import OURS
from runner.report.wording import first

POLICIES = ("warn", "fail", "ignore")
_PATIENCE = 60.0  # seconds that a look at the schema may take
_SHOWN = 40  # lines of a difference in an error or warning


def schema(session: Session, *, left: float | None = None) -> Catalog:
    """Return the schema of the session's target without the runner's own tables.

    Parameters:
        left: seconds that it may take at most; None: what a look may take.

    Raises:
        psycopg2.Error: it could not be read.
    """
    patience = _PATIENCE if left is None else min(left, _PATIENCE)
    return catalog.read(
        session.connection, ignored=OURS, schema=session.target.schema, patience=patience
    )


def differences(session: Session, *, left: float | None = None) -> list[str]:
    """Return the differences as lines, none where nothing changed or nothing was recorded.

    Majors spell definitions differently, so a snapshot of another major proves nothing; nor does
    one of the whole database say anything of a schema, where public is migrated in both ways.

    Raises:
        psycopg2.Error: the schema could not be read.
    """
    kept = read.snapshot(session)
    if kept is None:
        return []
    before, taken_at, run_id = kept
    now = schema(session, left=left)
    comparable = (before.major, before.whole) == (now.major, now.whole)
    if not comparable or before.fingerprint == now.fingerprint:
        return []
    lines = catalog.describe(catalog.differences(before.objects, now.objects))
    return [
        f"changed outside the migrations since run {run_id} ({taken_at:%Y-%m-%d %H:%M}):",
        *lines,
    ]


def check(session: Session, policy: str, *, left: float | None) -> list[str]:
    """Return warnings about drift, by policy; a look that cannot be had is a warning as well.

    Parameters:
        left: seconds until the deadline, None where there is none.

    Raises:
        ValidationFailed: the policy is "fail", and there is drift or nobody can tell.
        ConfigurationError: there is no such policy.
    """
    if policy not in POLICIES:
        raise ConfigurationError(f"{policy!r} is no policy for drift: {', '.join(POLICIES)}")
    if policy == "ignore":
        return []
    try:
        lines = differences(session, left=left)
    except psycopg2.Error as error:
        if session.lost():
            raise
        lines = [f"whether the schema was changed by other means cannot be told: {said(error)}"]
    if lines and policy == "fail":
        raise drifted(lines)
    return bounded(lines)


def drifted(lines: list[str]) -> ValidationFailed:
    """Return the error for drift."""
    return ValidationFailed(
        "the schema was changed outside the migrations",
        details=tuple(bounded(lines)),
        fix="put the change into a migration, or undo it; to accept it as it is:"
        " runner drift --accept 'why it is right'",
    )


def bounded(lines: list[str]) -> list[str]:
    """Return the first lines and how many more there are."""
    return first(lines, _SHOWN, "lines")


def accept(session: Session, why: str, lines: list[str]) -> None:
    """Keep the schema as it is now, and log who took it so, why, and what it was.

    Raises:
        psycopg2.Error: it could not be read or written.
    """
    now = schema(session)
    session.run("begin")
    write.take_snapshot(session, session.run_id, now)
    details = {"why": why, "changes": bounded(lines)}
    write.remark(session, session.run_id, "accept-drift", details)
    session.run("commit")


def begin(session: Session) -> None:
    """Forget the last look: from here on the schema is this run's, wherever that stops."""
    write.forget_snapshot(session)


def record(session: Session, *, left: float | None) -> list[str]:
    """Keep the schema as it is now for the next look; return what is to be said if it cannot be.

    Parameters:
        left: seconds until the deadline, None where there is none.
    """
    try:
        write.take_snapshot(session, session.run_id, schema(session, left=left))
    except psycopg2.Error as error:
        cannot = "the schema could not be looked at, so that the next run cannot tell what others"
        return [f"{cannot} change until then: {said(error)}"]
    return []
