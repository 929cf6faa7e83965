"""Expressions that fail unless a condition holds, for messages that hold many statements."""

from __future__ import annotations

import re

import psycopg2
from psycopg2 import errorcodes

# What our own failures are known by.
ANOTHER = "RN001"  # the transaction is another one
NOT_OWNED = "RN002"  # objects were made for another owner; a SQLSTATE of its own
LOCK_LOST = "RN003"  # the runner's lock is somebody else's
UNWRITTEN = "RN004"  # the history did not take what was written


def kept(condition: str, code: str) -> str:
    """Return an SQL expression that fails with our code unless a condition holds.

    A cast that cannot be made costs a tenth of a DO block that raises; that it is ours shows in
    the code, which the server repeats in every language.
    """
    return f"case when {condition} then 1 else ('{code} ' || pg_catalog.pg_backend_pid())::int end"


def code(error: BaseException) -> str | None:
    """Return which check of ours raised an error, None where it is somebody else's."""
    if not isinstance(error, psycopg2.Error):
        return None
    if error.pgcode == NOT_OWNED:
        return NOT_OWNED
    said = error.diag.message_primary or ""
    found = re.search(rf'"({ANOTHER}|{LOCK_LOST}|{UNWRITTEN}) \d+"', said)
    ours = error.pgcode == errorcodes.INVALID_TEXT_REPRESENTATION
    return found[1] if found and ours else None


def said(error: psycopg2.Error) -> str:
    """Return what the server said, in its main line, or what the library says of a lost one."""
    return (error.diag.message_primary or str(error)).strip()
