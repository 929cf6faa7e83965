"""What changed in the schema outside the migrations, since the last run."""

from __future__ import annotations

from runner.database import catalog
from runner.database.catalog import Catalog
from runner.database.session import Session
from runner.errors import ConfigurationError, ValidationFailed
from runner.history import read, write
from runner.history.table import OURS

POLICIES = ("warn", "fail", "ignore")
_SHOWN = 40  # lines of a difference in an error or warning


def schema(session: Session) -> Catalog:
    """Return the schema of the session's database without the runner's own tables."""
    return catalog.read(session.connection, ignored=OURS)


def differences(session: Session) -> list[str]:
    """Return the differences as lines, none where nothing changed or nothing was recorded.

    Majors spell definitions differently, so a snapshot of another major proves nothing.
    """
    kept = read.snapshot(session.connection)
    if kept is None:
        return []
    before, taken_at, run_id = kept
    now = schema(session)
    if before.major != now.major or before.fingerprint == now.fingerprint:
        return []
    lines = catalog.describe(catalog.differences(before.objects, now.objects))
    return [
        f"changed outside the migrations since run {run_id} ({taken_at:%Y-%m-%d %H:%M}):",
        *lines,
    ]


def check(session: Session, policy: str) -> list[str]:
    """Return warnings about drift, by policy.

    Raises:
        ValidationFailed: the policy is "fail" and there is drift.
        ConfigurationError: there is no such policy.
    """
    if policy not in POLICIES:
        raise ConfigurationError(f"{policy!r} is no policy for drift: {', '.join(POLICIES)}")
    lines = differences(session) if policy != "ignore" else []
    if lines and policy == "fail":
        raise drifted(lines)
    return bounded(lines)


def drifted(lines: list[str]) -> ValidationFailed:
    """Return the error for drift."""
    return ValidationFailed(
        "the schema was changed outside the migrations",
        details=tuple(bounded(lines)),
        fix="put the change into a migration, or undo it; then runner status --drift; to accept"
        " it as it is: runner migrate --on-drift ignore",
    )


def bounded(lines: list[str]) -> list[str]:
    """Return the first lines and how many more there are."""
    more = len(lines) - _SHOWN
    return lines if more <= 0 else [*lines[:_SHOWN], f"… and {more} more lines"]


def record(session: Session) -> None:
    """Keep the schema as it is now for the next look."""
    write.take_snapshot(session.connection, session.run_id, schema(session))
