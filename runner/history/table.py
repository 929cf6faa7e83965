"""The history: `schema_version`, what is in force, its log, and the schema as it was left.

`schema_version` holds one row for each migration in force; its primary key makes a second
application fail even where the runner's lock was lost. `schema_version_log` is only ever
added to: who did what, when, in which run. They are in the target's schema. Every statement
names it, because a migration may leave search_path empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from runner.database.quoting import quoted
from runner.database.session import Session
from runner.files.folder import composed, is_canonical
from runner.result import Task

TABLE = "schema_version"
LOG = "schema_version_log"
SNAPSHOT = "schema_version_snapshot"
RUN = "schema_version_run"

# What the relations above and their sequences are called; nobody else's schema is judged by them.
OURS = "^schema_version(_log|_snapshot|_run)?(_.*seq)?$"

# How each column is made; its first word is its type, by which a table is known as ours.
COLUMNS = {
    TABLE: {
        "version": "text constraint schema_version_pkey primary key",
        "kind": "text not null constraint schema_version_kind"
        " check (kind in ('versioned', 'repeatable', 'baseline'))",
        "state": "text not null constraint schema_version_state"
        " check (state in ('applied', 'applying', 'undoing'))",
        "description": "text not null",
        "file": "text",
        "checksum": "text",
        "applied_order": "bigint generated always as identity"
        " constraint schema_version_order unique",
        "applied_at": "timestamptz not null default clock_timestamp()",
        "applied_by": "text not null default session_user",
        "run_id": "text not null",
        "duration_ms": "bigint",
        "steps": "text[] not null default '{}'",
        "step_in_doubt": "jsonb",
    },
    LOG: {
        "id": "bigint generated always as identity constraint schema_version_log_pkey primary key",
        "at": "timestamptz not null default clock_timestamp()",
        "action": "text not null",
        "version": "text",
        "description": "text",
        "file": "text",
        "checksum": "text",
        "run_id": "text not null",
        "by": "text not null default session_user",
        "duration_ms": "bigint",
        "details": "jsonb",
    },
    SNAPSHOT: {
        "one": "boolean constraint schema_version_snapshot_pkey primary key"
        " default true check (one)",
        "taken_at": "timestamptz not null",
        "run_id": "text not null",
        "major": "integer not null",
        "objects": "jsonb not null",
    },
    RUN: {
        "run_id": "text constraint schema_version_run_pkey primary key",
        "at": "timestamptz not null default clock_timestamp()",
        "asked": "text not null",
        "log_id": "bigint not null",
        "tasks": "jsonb not null",
    },
}
# What the tables mean. Whoever changes that counts on, and reads what the numbers before it wrote.
FORMAT = 1
_COMMENTS = {
    TABLE: f"migrations in force; written by the migration runner (format {FORMAT})",
    LOG: "what the migration runner did, by whom, when, in which run",
    SNAPSHOT: "the schema after the last run, to tell drift",
    RUN: "what runs that may be asked for again set out to do",
}
KINDS = ("versioned", "repeatable", "baseline")
STATES = ("applied", "applying", "undoing")
_SPELT_OUT = {"timestamptz": "timestamp with time zone"}


class Names(NamedTuple):
    """The history's tables in one schema, as SQL writes them whatever the search_path is."""

    table: str
    log: str
    snapshot: str
    run: str


@lru_cache(maxsize=128)
def in_schema(schema: str) -> Names:
    """Return the names of the history's tables in a schema."""
    return Names(*(f"{quoted(schema)}.{name}" for name in COLUMNS))


def names(session: Session) -> Names:
    """Return the names of the tables of a session's history."""
    return in_schema(session.target.home)


def types(table: str) -> dict[str, str]:
    """Return the type of each column of a table of ours, as format_type writes it."""
    made = {name: definition.split()[0] for name, definition in COLUMNS[table].items()}
    return {name: _SPELT_OUT.get(type_, type_) for name, type_ in made.items()}


def create(table: str, schema: str) -> str:
    """Return the SQL that makes a table of ours; it fails where somebody has made it meanwhile."""
    columns = ", ".join(f"{name} {definition}" for name, definition in COLUMNS[table].items())
    name = f"{quoted(schema)}.{table}"
    return f"create table {name} ({columns}); comment on table {name} is '{_COMMENTS[table]}'"


class Left(NamedTuple):
    """What a statement has left in its session: settings, and the names of what is temporary."""

    settings: Mapping[str, str]
    temporary: Sequence[str]


class Step(NamedTuple):
    """A finished statement of a non-transactional migration.

    `digest` is its text's; `left` is what was different in its session from the file's beginning,
    None where nobody looked.
    """

    digest: str
    left: Left | None = None

    def kept(self) -> str:
        """Return the text by which the history keeps it."""
        return f"{self.digest} {json.dumps(self.left._asdict())}" if self.left else self.digest

    @classmethod
    def of(cls, kept: str) -> Step:
        """Return it from what the history keeps.

        Raises:
            ValueError: that is something else.
        """
        digest, _, left = kept.partition(" ")
        match json.loads(left) if left else None:
            case None:
                return cls(digest)
            case {"settings": dict(settings), "temporary": list(temporary)} if all(
                isinstance(text, str) for text in (*settings.values(), *temporary)
            ):
                return cls(digest, Left(settings, temporary))
        raise ValueError("a finished statement that is none")


class Doubt(NamedTuple):
    """A statement of a non-transactional migration that was begun and not recorded as finished.

    `digest` is its text's, `before` the identity of what it makes or takes away when it began,
    `text` its beginning for a person, `builds` the name and table of the index it builds;
    `failed`: it is known to have failed, so that it is not at work any more.
    """

    digest: str
    before: int | None
    text: str
    builds: tuple[str, str] | None
    failed: bool = False

    @classmethod
    def of(cls, kept: Any) -> Doubt:
        """Return it from what the history keeps.

        Raises:
            ValueError: that is something else.
        """
        match kept:
            case {"digest": str(digest), "text": str(text), "before": int() | None as before}:
                builds = kept.get("builds") or kept.get("index")  # as older versions kept it
                match builds:
                    case [str(index), str(table)]:
                        return cls(digest, before, text, (index, table), bool(kept.get("failed")))
                    case None:
                        return cls(digest, before, text, None, bool(kept.get("failed")))
        raise ValueError("a statement in doubt that is none")


_BACKFILL = "backfill "  # begins what the history keeps of one, in the place of steps


class Checkpoint(NamedTuple):
    """How far a backfill is: written with each of its batches, in the same transaction.

    `checksum` is its file's; `last` the greatest key that is done, as text, None before the first
    batch; `rows` and `batches` are done, in `ms` milliseconds; `total` the rows that were
    estimated when it began.
    """

    checksum: str
    last: str | None = None
    rows: int = 0
    batches: int = 0
    ms: int = 0
    total: int | None = None

    def kept(self) -> str:
        """Return the text by which the history keeps it."""
        return _BACKFILL + json.dumps(self._asdict())

    @classmethod
    def of(cls, steps: Sequence[str]) -> Checkpoint | None:
        """Return it from what the history keeps, None where that is of no backfill.

        Raises:
            ValueError: that is something else.
        """
        if not (steps and steps[0].startswith(_BACKFILL)):
            return None
        match json.loads(steps[0].removeprefix(_BACKFILL)):
            case {
                "checksum": str(checksum), "last": str() | None as last, "rows": int(rows),
                "batches": int(batches), "ms": int(ms), "total": int() | None as total,
            } if len(steps) == 1:  # fmt: skip
                return cls(checksum, last, rows, batches, ms, total)
        raise ValueError("a backfill's checkpoint that is none")


class Row(NamedTuple):
    """One migration in force, or half-way; `checkpoint` is that of a backfill."""

    version: str
    kind: str
    state: str
    description: str
    file: str | None
    checksum: str | None
    applied_order: int
    applied_at: datetime
    applied_by: str
    run_id: str
    duration_ms: int | None
    steps: list[Step]
    step_in_doubt: Doubt | None
    checkpoint: Checkpoint | None = None

    @classmethod
    def of(cls, values: tuple[Any, ...]) -> Row:
        """Return the row of what `read` selects.

        Raises:
            ValueError: it holds what no version of ours has written.
        """
        *plain, steps, doubt = values
        if steps is None or None in steps:
            raise ValueError(f"version {plain[0]!r} lacks something")
        checkpoint = Checkpoint.of(steps)
        done = [] if checkpoint else [Step.of(kept) for kept in steps]
        doubtful = None if doubt is None else Doubt.of(doubt)
        row = cls(*plain, done, doubtful, checkpoint)  # type: ignore[call-arg]
        if row.kind not in KINDS or row.state not in STATES:
            raise ValueError(f"version {row.version!r} is {row.kind!r} and {row.state!r}")
        name, repeatable = str(row.version), row.kind == "repeatable"
        if not (name.startswith("R__") if repeatable else is_canonical(name)):
            raise ValueError(f"{row.version!r} is no version")
        if None in (row.description, row.applied_at, row.run_id):
            raise ValueError(f"version {row.version!r} lacks something")
        return row if row.version.isascii() else row._replace(version=composed(row.version))

    def progress(self) -> str:
        """Return how much of it is done, in words."""
        point = self.checkpoint
        return f"{point.rows:,} rows" if point else f"{len(self.steps)} statements"


class Begun(NamedTuple):
    """A run that may be asked for again, as it began.

    `asked` is the call's text, `log_id` the newest entry of the log before it, `tasks` what it
    set out to do.
    """

    asked: str
    log_id: int
    tasks: list[Task]


class Record(NamedTuple):
    """What is written of a migration."""

    version: str
    kind: str
    description: str
    file: str | None
    checksum: str | None
    run_id: str
