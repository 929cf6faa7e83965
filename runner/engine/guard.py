"""See that a file left the runner's transaction, and the way text is read, alone.

Transaction control is refused before anything runs; this catches what got through.
"""

from __future__ import annotations

from psycopg2.extensions import TRANSACTION_STATUS_INTRANS

from runner.database.session import Session
from runner.engine.failures import needs_attention
from runner.engine.job import Job
from runner.errors import MigrationFailed, NeedsAttention

ANOTHER = "RN001"  # the SQLSTATE that `same` raises


def same(xid: str) -> str:
    """Return SQL that fails if the open transaction is another one than the given."""
    return (
        f"do $guard$ begin if pg_catalog.pg_current_xact_id()::text <> '{xid}' then"
        f" raise exception 'the transaction is another one' using errcode = '{ANOTHER}';"
        " end if; end $guard$; "
    )


def check(session: Session, job: Job) -> None:
    """Look at what the server said of the session after a message of a file; no round trip.

    Raises:
        NeedsAttention: the file ended the transaction.
        MigrationFailed: the next message would not be read as it was written.
    """
    info = session.connection.info
    if info.transaction_status != TRANSACTION_STATUS_INTRANS:
        raise ended(job)
    strings = info.parameter_status("standard_conforming_strings")
    if strings != "on" or info.parameter_status("client_encoding") != "UTF8":
        raise MigrationFailed(
            "the file changes how text is read (standard_conforming_strings or client_encoding);"
            " it was rolled back",
            file=str(job.migration.path),
            fix="take that setting out of the file",
        )


def ended(job: Job) -> NeedsAttention:
    """Return the error for a file that ended the transaction."""
    return needs_attention(
        job,
        "the file ended the runner's transaction; what it did before that is committed, and"
        " nothing is recorded",
        fix="undo by hand what it did, take the transaction control out, and run again",
    )
