"""See that a file left the runner's transaction, its owner, and the way text is read, alone.

Transaction control is refused before anything runs; this catches what got through.
"""

from __future__ import annotations

from psycopg2.extensions import TRANSACTION_STATUS_INTRANS

from runner.database.checks import ANOTHER, NOT_OWNED, kept
from runner.database.quoting import literal
from runner.database.session import Session
from runner.engine.failures import needs_attention
from runner.engine.job import Job
from runner.errors import MigrationFailed, NeedsAttention

# The transaction's id, as the transaction itself keeps it.
XID = "pg_catalog.set_config('runner.xid', pg_catalog.pg_current_xact_id()::text, true)"

# Whether the open transaction is still the one that kept its id.
SAME = kept(
    "pg_catalog.current_setting('runner.xid', true) = pg_catalog.pg_current_xact_id()::text",
    ANOTHER,
)


def same_transaction(xid: str) -> str:
    """Return SQL that fails if the open transaction is another one than the given."""
    same = f"pg_catalog.pg_current_xact_id()::text = '{xid}'"
    return f"select {kept(same, ANOTHER)}; "


def owned_by(session: Session, role: str) -> str:
    """Return SQL that fails, naming them, if this transaction made objects of another owner.

    A file may reset its role, or a function make objects as another; the application then lacks
    its rights on them, which shows up much later. pg_shdepend gets a row for each new owned
    object, while an ALTER of an older one does not touch it. It has none for the bootstrap
    superuser, who is nobody's login on RDS.
    """
    owner = literal(session.connection, role)
    block = (
        "declare strange text; begin"
        " select pg_catalog.string_agg(pg_catalog.pg_describe_object(classid, objid, objsubid)"
        "        || ' of ' || pg_catalog.pg_get_userbyid(refobjid), ', ') into strange"
        " from pg_catalog.pg_shdepend where deptype = 'o'"
        " and dbid = (select oid from pg_catalog.pg_database"
        "             where datname = pg_catalog.current_database())"
        " and xmin = pg_catalog.pg_current_xact_id()::xid"
        f" and refobjid <> (select oid from pg_catalog.pg_roles where rolname = {owner});"
        " if strange is not null then"
        f"  raise exception 'made for another owner than %: %', {owner}, strange"
        f"  using errcode = '{NOT_OWNED}',"
        "   hint = 'make them as the owner role, or alter … owner to in the file';"
        " end if; end"
    )
    return f"do {literal(session.connection, block)}; "


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
