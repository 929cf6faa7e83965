"""What is written to the history, as SQL: it shares messages with the guard and the commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from runner.history.table import LOG, TABLE, Record


def applied(record: Record, duration_ms: int) -> str:
    """Return the SQL that records a versioned migration or a repeatable's newest run.

    Only a repeatable replaces its row: a version that is there already violates the key.
    """
    again = ""
    if record.kind == "repeatable":
        again = """ on conflict (version) do update set description = excluded.description,
            file = excluded.file, checksum = excluded.checksum, run_id = excluded.run_id,
            duration_ms = excluded.duration_ms, applied_at = clock_timestamp(),
            applied_by = session_user, state = 'applied'"""
    return (
        f"insert into {TABLE} (version, kind, state, description, file, checksum, run_id,"
        f" duration_ms) values ({_row(record)}, {duration_ms}){again}"
    )


def undone(record: Record) -> str:
    """Return the SQL that takes a migration out of force; it fails if it was not in force.

    Repeatables may rest on what is gone: without their checksum the next run repeats them.
    """
    return (
        f"do $undo$ begin delete from {TABLE} where version = {_quote(record.version)};"
        f" if not found then raise exception 'version % is not in force', {_quote(record.version)}"
        " using errcode = 'no_data_found'; end if; end $undo$; "
        f"update {TABLE} set checksum = null where kind = 'repeatable'"
    )


def event(
    action: str,
    record: Record,
    duration_ms: int | None = None,
    details: Mapping[str, Any] | str | None = None,
) -> str:
    """Return the SQL that adds a line to the log.

    Parameters:
        action: "apply", "repeat", "undo", "baseline", "repair" or "adopt".
        details: as a mapping, or as an SQL expression of type jsonb.
    """
    what = details if isinstance(details, str) else _json(details)
    return (
        f"insert into {LOG} (version, description, file, checksum, run_id, action, duration_ms,"
        f" details) values ({_identity(record)}, {_quote(action)},"
        f" {'null' if duration_ms is None else duration_ms}, {what})"
    )


def begin_steps(record: Record, state: str) -> str:
    """Return the SQL that opens the journal of a non-transactional migration."""
    if state == "undoing":
        return (
            f"update {TABLE} set state = 'undoing', steps = '{{}}', step_in_doubt = null"
            f" where version = {_quote(record.version)}"
        )
    again = ""
    if record.kind == "repeatable":
        again = """ on conflict (version) do update set state = excluded.state,
            checksum = excluded.checksum, steps = '{}', step_in_doubt = null"""
    return (
        f"insert into {TABLE} (version, kind, state, description, file, checksum, run_id) values"
        f" ({_row(record, state)}){again}"
    )


def step_begun(version: str, doubt: Mapping[str, Any]) -> str:
    """Return the SQL that says which statement is about to run."""
    return f"update {TABLE} set step_in_doubt = {_json(doubt)} where version = {_quote(version)}"


def step_done(version: str, digest: str) -> str:
    """Return the SQL that records a finished statement by the digest of its text."""
    return (
        f"update {TABLE} set steps = steps || {_quote(digest)}::text, step_in_doubt = null"
        f" where version = {_quote(version)}"
    )


def step_failed(version: str) -> str:
    """Return the SQL that says that the statement begun last is known to have failed."""
    return (
        f"update {TABLE} set step_in_doubt = step_in_doubt || '{{\"failed\": true}}'"
        f" where version = {_quote(version)}"
    )


def steps_finished(record: Record, duration_ms: int) -> str:
    """Return the SQL that puts a non-transactional migration into force."""
    return (
        f"update {TABLE} set state = 'applied', checksum = {_quote(record.checksum)},"
        f" duration_ms = {duration_ms}, applied_at = clock_timestamp(),"
        f" run_id = {_quote(record.run_id)} where version = {_quote(record.version)}"
    )


def baselined(record: Record) -> str:
    """Return the SQL that begins a history at a version."""
    return (
        f"insert into {TABLE} (version, kind, state, description, file, checksum, run_id)"
        f" values ({_row(record)})"
    )


def adopted(record: Record, at: datetime | None, by: str | None) -> str:
    """Return the SQL that takes over what another tool applied, when and by whom it says."""
    when = f"{_quote(at.isoformat())}::timestamptz" if at else "clock_timestamp()"
    return (
        f"insert into {TABLE} (version, kind, state, description, file, checksum, run_id,"
        f" applied_at, applied_by) values ({_row(record)}, {when},"
        f" {_quote(by) if by else 'session_user'})"
    )


def accepted(version: str, checksum: str, file: str) -> str:
    """Return the SQL that takes a file as what was applied."""
    return (
        f"update {TABLE} set checksum = {_quote(checksum)}, file = {_quote(file)}"
        f" where version = {_quote(version)}"
    )


def forgotten(version: str) -> str:
    """Return the SQL that takes a row out, whatever the database holds of it."""
    return f"delete from {TABLE} where version = {_quote(version)}"


def _identity(record: Record) -> str:
    values = (record.version, record.description, record.file, record.checksum, record.run_id)
    return ", ".join(_quote(value) for value in values)


def _row(record: Record, state: str = "applied") -> str:
    values = (
        record.version, record.kind, state, record.description, record.file, record.checksum,
        record.run_id,
    )  # fmt: skip
    return ", ".join(_quote(value) for value in values)


def _json(details: Mapping[str, Any] | None) -> str:
    return "null" if details is None else f"{_quote(json.dumps(details))}::jsonb"


def _quote(value: str | None) -> str:
    """Quote a literal so that it reads the same whatever standard_conforming_strings says."""
    if value is None:
        return "null"
    doubled = value.replace("'", "''")
    return f"'{doubled}'" if "\\" not in value else "E'" + doubled.replace("\\", "\\\\") + "'"
