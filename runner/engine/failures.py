"""From a server's error to what a person needs: place, excerpt, cause, what to do now."""

from __future__ import annotations

import re
from typing import TypedDict

import psycopg2
from psycopg2 import errorcodes

from runner.database import checks
from runner.database.sessions import describe_session
from runner.engine.job import Job
from runner.errors import (
    ConfigurationError,
    LockNotObtained,
    MigrationFailed,
    NeedsAttention,
    Session,
)
from runner.files.pieces import Near
from runner.history.table import TABLE, Doubt
from runner.syntax import statements
from runner.syntax.scanner import scan, takes_data

# A lock was not to be had: what was tried is rolled back and may be tried again.
BLOCKED = frozenset({errorcodes.LOCK_NOT_AVAILABLE, errorcodes.DEADLOCK_DETECTED})

_WIDTH = 100  # characters of a line that an excerpt shows
_CONTEXT = 2  # lines above the place

_LOST = errorcodes.ADMIN_SHUTDOWN  # also stands for a connection that broke without a word
_FIXES = {
    _LOST: "the session was ended (by an administrator, a restart, the network): run again",
    errorcodes.LOCK_NOT_AVAILABLE: (
        "wait for the sessions above to end, or end them, and run again"
    ),
    errorcodes.DEADLOCK_DETECTED: (
        "another session wanted the same locks the other way round: run again"
    ),
    errorcodes.QUERY_CANCELED: (
        "a statement took longer than its statement_timeout: raise it in the file's head,"
        " split the work, or run where there is more time"
    ),
    errorcodes.DISK_FULL: "the server's disk is full: make room there, then run again",
    errorcodes.IDLE_IN_TRANSACTION_SESSION_TIMEOUT: (
        "the server ended a transaction that stood idle for too long: was this process stopped, or"
        " the network? run again"
    ),
    errorcodes.ACTIVE_SQL_TRANSACTION: "put '-- runner: no-transaction' at the top of the file",
    errorcodes.INVALID_TRANSACTION_TERMINATION: (
        "a procedure or DO block that commits needs '-- runner: no-transaction' at the top"
    ),
    errorcodes.UNSAFE_NEW_ENUM_VALUE_USAGE: (
        "a new enum value can be used after its transaction only: use it in a later file, and run"
        " without --single-transaction, which makes one of them all"
    ),
    errorcodes.INSUFFICIENT_PRIVILEGE: (
        "grant the migrating role what is missing, or set DATABASE_ROLE to the owner"
    ),
    errorcodes.UNIQUE_VIOLATION: "find and mend the duplicates, then run again",
    errorcodes.DUPLICATE_TABLE: "it exists already: was the change made by hand? see runner status",
    errorcodes.UNDEFINED_TABLE: (
        "the relation is not there: check the schema and the order of the files"
    ),
}


# No limit was asked for on top of the file.
_CANCELLED = (
    "somebody cancelled the statement, or a statement_timeout of the file's own passed: run again,"
    " or raise that"
)
_TOO_LATE = (
    "take the line out: the runner has begun the file's transaction, READ COMMITTED, and looked at"
    " the database in it; without a transaction it would have no effect"
)

# What a statement of ours says where the file dropped the history's tables or their schema.
_NO_HISTORY = {
    errorcodes.UNDEFINED_TABLE, errorcodes.INVALID_SCHEMA_NAME, errorcodes.UNDEFINED_COLUMN,
}  # fmt: skip


def migration_failed(
    job: Job,
    error: psycopg2.Error,
    *,
    base: int | None,
    offset: int | None = None,
    blockers: tuple[Session, ...] = (),
    note: str | None = None,
    kind: type[MigrationFailed] = MigrationFailed,
) -> MigrationFailed:
    """Return the error to raise for a file that the server refused.

    Parameters:
        base: offset of the message within the file's text, negative where SQL of ours precedes
            it; None: the message was ours.
        offset: where the failing statement begins, if that is known by other means.
        blockers: sessions seen in the way.
        note: one more line for the person.
        kind: NeedsAttention where something stayed behind.
    """
    diag = error.diag
    state = error.pgcode
    if diag.statement_position and base is not None:
        inside = base + int(diag.statement_position) - 1
        # Else it is in SQL of ours, which a large file shares no message with.
        offset = inside if job.whole is None or 0 <= inside <= len(job.whole) else offset
    message = diag.message_primary or str(error).strip().split("\n")[0] or "the connection was lost"
    fix = _FIXES.get(state or _LOST, "correct the file and run again")
    if state == errorcodes.QUERY_CANCELED and job.migration.directives.statement_timeout is None:
        fix = _CANCELLED
    elif state == errorcodes.ACTIVE_SQL_TRANSACTION and _sets_transaction(job, offset):
        fix = _TOO_LATE
    if checks.code(error) == checks.UNWRITTEN:
        message = "the history did not take what was to be recorded"
        fix = f"see what is on {TABLE} and its log: a trigger? or did the file change them?"
    elif base is None and state in _NO_HISTORY:
        message = f"the history is gone ({message})"
        fix = f"the file must leave {TABLE}, its log and their schema alone"
    details = [f"blocked by {describe_session(blocker)}" for blocker in blockers]
    details += [f"to end it: select pg_terminate_backend({b['pid']});" for b in blockers]
    details += _row(job, offset, diag.context)
    details += [note] if note else []
    return kind(
        message,
        **_place(job, offset),
        sqlstate=state,
        detail=diag.message_detail,
        hint=diag.message_hint,
        context=diag.context,
        blockers=blockers,
        fix=fix,
        details=tuple(details),
    )


def _sets_transaction(job: Job, offset: int | None) -> bool:
    place = _near(job, offset)
    if place is None:
        return False
    words = place.text[place.offset : place.offset + _WIDTH].upper().split(None, 2)
    return words[:2] == ["SET", "TRANSACTION"]


def needs_attention(
    job: Job, message: str, *, fix: str, offset: int | None = None
) -> NeedsAttention:
    """Return the error for a state that only a person can judge."""
    return NeedsAttention(message, **_place(job, offset), fix=fix)


class _Place(TypedDict):
    file: str
    line: int | None
    column: int | None
    excerpt: str | None


def _place(job: Job, offset: int | None) -> _Place:
    """Return where in a job's file an offset is, None: in the file somewhere."""
    path = str(job.migration.path)
    place = _near(job, offset)
    if place is None:
        return {"file": path, "line": None, "column": None, "excerpt": None}
    line, column = place.position()
    return {"file": path, "line": line, "column": column, "excerpt": excerpt(place)}


# "COPY t, line 7, column a", in whatever language; the line is counted from the data's first.
_of_copy = re.compile(r"COPY .+?, [^\d,]+ (\d+)").match


def _row(job: Job, offset: int | None, context: str | None) -> list[str]:
    """Return where in the file a row of COPY's data is that the server did not take."""
    found = _of_copy(context or "")
    place = _near(job, offset) if found else None
    copy = next(scan(place.text[place.offset :]), None) if place else None
    if not (found and place and copy and takes_data(copy)):
        return []
    end = place._replace(offset=place.offset + copy.end)
    line = end.position()[0] + int(found[1])
    return [f"it is line {line} of the file, line {found[1]} of the data"]


def _near(job: Job, offset: int | None) -> Near | None:
    """Return what is around a place, None where none is known, or the file cannot be read again."""
    if offset is None:
        return None
    try:
        return job.near(offset)
    except ConfigurationError:
        return None


def lock_lost(job: Job) -> LockNotObtained:
    """Return the error for a file that let the runner's lock go where another run could take it."""
    return LockNotObtained(
        f"{job.migration.name} let the runner's lock go, and another run took it",
        fix="take pg_advisory_unlock_all() or DISCARD ALL out of it; wait and run again",
    )


def changed_since(job: Job, offset: int) -> NeedsAttention:
    """Return the error for a finished statement that is not what it was."""
    return needs_attention(
        job,
        "a statement here was run before the last run stopped, and has been changed since",
        offset=offset,
        fix="put it back as it was, or forget the journal and all that was done: runner repair"
        f" --forget {job.migration.key}",
    )


def undecided(job: Job, offset: int, doubt: Doubt) -> NeedsAttention:
    """Return the error for a statement that a crash left in doubt and only a person can judge."""
    return needs_attention(
        job,
        "the last run ended while this statement ran; nothing can tell whether it took"
        f" effect: {doubt.text}",
        offset=offset,
        fix=_decide(job),
    )


def _decide(job: Job) -> str:
    key = job.migration.key
    return (
        f"look; if it did its work: runner repair --done {key} --yes; if it is to run from its"
        f" beginning: runner repair --again {key} --yes; then run again"
    )


def half_committed(job: Job, error: psycopg2.Error, offset: int) -> MigrationFailed:
    """Return the error for a statement that failed and may have committed before that."""
    note = "what it committed before it failed stays; nothing can tell how far it got"
    failed = migration_failed(
        job, error, base=offset, offset=offset, note=note, kind=NeedsAttention
    )
    failed.fix = _decide(job)
    return failed


def unrecorded(job: Job, offset: int, error: psycopg2.Error) -> NeedsAttention:
    """Return the error for a statement that has run, which the history could not be told."""
    told = checks.said(error).split("\n")[0]
    return needs_attention(
        job,
        f"this statement has run, but that could not be recorded: {told}",
        offset=offset,
        fix="run again: it looks at what the statement did, and asks where that cannot be seen",
    )


def gone(job: Job, offset: int, what: str = "a temporary table, a setting") -> NeedsAttention:
    """Return the error for a finished statement whose work ended with the session it ran in.

    Parameters:
        what: it left there.
    """
    return needs_attention(
        job,
        f"the last run stopped after this statement, and what it left in the session ({what}) is"
        " gone with that",
        offset=offset,
        fix="take the finished statements out of the file, but for what the rest needs; forget the"
        f" journal: runner repair --forget {job.migration.key} --yes; then run again",
    )


def excerpt(place: Near) -> str:
    """Return the line of a place with a caret below it, and the lines above."""
    text, offset = place.text, place.offset
    line, column = statements.position(text, offset)
    # Up to the end of the line, and no splitting of a whole big file for three lines.
    begin = offset
    for _ in range(_CONTEXT + 1):
        begin = max(text.rfind("\n", 0, begin), text.rfind("\r", 0, begin), -1)
        if begin < 0:
            break
    end = re.compile(r"[\r\n]|\Z").search(text, offset)
    lines = re.split(r"\r\n|\n|\r", text[begin + 1 : end.start() if end else len(text)])
    start = max(0, column - 1 - _WIDTH // 2)
    first = place.line + line - len(lines) + 1
    shown = [f"{number:>6} | {_cut(content, start)}" for number, content in enumerate(lines, first)]
    return "\n".join([*shown, f"{'':>6} | {' ' * (column - 1 - start)}^"])


def _cut(line: str, start: int) -> str:
    """Return so much of a line as is shown from an offset, and say with … where it goes on."""
    shown = line[start : start + _WIDTH].expandtabs(1)
    if start and line:
        shown = f"…{shown[1:]}"
    return shown if len(line) <= start + _WIDTH else f"{shown[:-1]}…"
