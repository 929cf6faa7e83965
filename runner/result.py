"""The result of one invocation: a typed document with a version, the same from CLI and Lambda.

The types below are the contract between command line, Lambda, pipeline and reports; the JSON
Schema in docs/reference is made from them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NotRequired, TypedDict

from runner.errors import Error, RunnerError

VERSION = 1

# The outcomes that a pipeline may take for success; anything else is red.
SUCCESS = frozenset({"applied", "noop"})

Outcome = Literal["applied", "noop", "planned", "incomplete", "failed"]
Action = Literal["apply", "repeat", "undo"]
Risk = Literal["none", "notice", "block"]


class Target(TypedDict, total=False):
    """The database, as far as it is known; never a password."""

    host: str
    port: str
    dbname: str
    schema: str
    user: str
    server_version: str


class Backfill(TypedDict):
    """How far a backfill is: rows and batches done, and what that says of the rest.

    `rows_left` is an estimate, null where there is none; `basis` what it rests on: what ANALYZE
    saw of the key, or the table's size when the backfill began. `rows_per_second` is of the
    whole time that it ran, its pauses with it; `ends_at` supposes that it runs on from now.
    """

    table: str
    key: str
    batch_size: int
    background: bool
    rows: int
    batches: int
    rows_left: int | None
    basis: Literal["statistics", "size"] | None
    rows_per_second: float | None
    seconds_left: float | None
    ends_at: str | None


class Task(TypedDict):
    """One file that is to run: a V file to apply, an R file to repeat, a U file to undo by."""

    action: Action
    version: str
    description: str
    file: str
    checksum: str
    transactional: bool
    why: str
    backfill: NotRequired[Backfill]


class Lock(TypedDict):
    """A lock on a relation: its mode as pg_locks has it; a plan says whether it rewrites.

    `bytes` is how large the relation is, indexes included, where a run took its time.
    """

    relation: str
    mode: str
    rewrite: NotRequired[bool]
    bytes: NotRequired[int]


class Trace(TypedDict, total=False):
    """What a migration locked of what was there before it, and what it did to it.

    `held_ms` is how long, in milliseconds; `source` is "text" where the locks are not traced
    but told from the file, as for one that runs outside a transaction.
    """

    source: Literal["text"]
    locks: list[Lock]
    rewritten: list[str]
    dropped: list[str]
    held_ms: float


class Applied(Task):
    """One file that was run and recorded; the trace is missing where its answer was lost."""

    duration_ms: int
    attempts: int
    notices: list[str]
    source: NotRequired[Literal["text"]]
    locks: NotRequired[list[Lock]]
    rewritten: NotRequired[list[str]]
    dropped: NotRequired[list[str]]
    held_ms: NotRequired[float]


class Standing(TypedDict):
    """One migration in `status`: where it stands between files and history."""

    version: str
    description: str
    state: str
    undo: bool
    file: str | None
    applied_at: str | None
    applied_by: str | None
    run_id: str | None
    duration_ms: int | None
    backfill: NotRequired[Backfill]


class Event(TypedDict):
    """One line of `history`: what was done, when, by whom, in which run."""

    at: str
    action: str
    version: str | None
    description: str | None
    file: str | None
    checksum: str | None
    run_id: str
    by: str
    duration_ms: int | None
    details: object


class Relation(TypedDict):
    """A table that a plan touches: its size in bytes and rows, and its traffic."""

    relation: str
    bytes: int
    rows: int
    writes_per_second: float
    reads_per_second: float


class Hazard(TypedDict):
    """What a person has to weigh: data lost, work on every row, clients or safeguards broken."""

    kind: Literal["data", "rows", "clients", "safeguards"]
    text: str


class Estimate(TypedDict):
    """How long a file will work on tables and hold its locks, in milliseconds.

    `runs` is how many earlier ones of this database tell, 0 where it is a guess from sizes, or
    `rehearsed`: measured on a copy.
    """

    ms: int
    least_ms: int
    most_ms: int
    runs: int
    rehearsed: NotRequired[bool]


class Planned(TypedDict):
    """One file of a plan, with its SQL and what it will do to the database.

    `calm`: its locks that are no risk, and why not, in words; `may_lose`: whether no undo may bring
    back what was before; `takes`: null where nothing tells, as of code, and of a backfill, which
    holds no lock for long; `throttle`: what slows a backfill
    down, in words.
    """

    file: str
    version: str
    description: str
    action: Action
    transactional: bool
    why: str
    irreversible: str | None
    may_lose: bool
    takes: Estimate | None
    sql: str
    risk: Risk
    risks: list[str]
    calm: NotRequired[list[str]]
    hazards: list[Hazard]
    locks: list[Lock]
    relations: list[Relation]
    backfill: NotRequired[Backfill]
    throttle: NotRequired[str]


class Open(TypedDict):
    """The longest transaction that is open in the database."""

    pid: int
    user: str | None
    application: str | None
    state: str | None
    query: str | None
    seconds: float


class Plan(TypedDict):
    """The data of `plan`: the files that would run, and the digest that can be approved.

    `runner` is the digest of the code that made it, null where there is no function yet;
    `after_deploy` is there for what runs when the new code is deployed.
    """

    digest: str
    after_deploy: NotRequired[Literal[True]]
    runner: str | None
    longest_transaction: Open | None
    files: list[Planned]


class Rehearsal(TypedDict):
    """The data of `rehearse`: what running the files on a copy showed, and nothing of its data.

    `temporary_bytes` is what was written to temporary files, `grown_bytes` by how much the copy
    grew, `fingerprint` the hash of the schema that it ended with, `over` what went over a limit.
    """

    files: list[Applied]
    duration_ms: int
    temporary_bytes: int
    grown_bytes: int
    fingerprint: str
    over: list[str]


class Carried(TypedDict):
    """The data of a `migrate` that left nothing: the digest of the files, all of them in force.

    Where files wait for the new code, it is the digest of the others.
    """

    files: str


class Preview(TypedDict):
    """One file of a dry run, with its SQL; it says nothing of the database."""

    file: str
    sql: str


class Proof(TypedDict):
    """What `verify` found of one migration."""

    version: str
    description: str
    file: str
    checksum: str
    undo: str | None
    undo_checksum: str | None
    irreversible: str | None
    proved: bool
    problems: list[str]
    unsampled: NotRequired[list[str]]
    up_ms: NotRequired[int]
    down_ms: NotRequired[int]
    up_again_ms: NotRequired[int]
    locks: NotRequired[list[Lock]]
    rewritten: NotRequired[list[str]]
    dropped: NotRequired[list[str]]
    held_ms: NotRequired[float]


class Proofs(TypedDict):
    """The data of `verify`; `files` is the digest of the folder's files.

    `assumed` is what the server lacked and the files' databases are taken to have.
    """

    server_version: str
    files: str
    assumed: list[str]
    migrations: list[Proof]


class Finding(TypedDict):
    """One place that `lint` objects to; line and column count from 1.

    `safe` is the SQL that does the same and keeps nobody waiting, with what is to be known of it.
    """

    file: str
    line: int
    column: int
    rule: str
    message: str
    fix: str
    safe: NotRequired[str]


MemberState = Literal[
    "failed", "unreachable", "differs", "drifted", "incomplete", "not started", "behind", "current",
]  # fmt: skip


class Member(TypedDict):
    """One target of a fleet and where it stands.

    `version` is the newest in force, `applied` and `pending` are numbers of files; `error` is one
    line. `exit_code` is null where it was not begun.
    """

    name: str
    target: Target
    state: MemberState
    exit_code: int | None
    version: str | None
    applied: int
    pending: int
    duration_ms: int
    error: str | None


class Group(TypedDict):
    """The targets of a fleet in which the same files would run, on the same history.

    `digest` is what approves that, `examples` are the first of their names, `held` is how many
    files wait for the new code there. `plan` is what the first of the examples sees, with sizes and
    traffic of its own; it is missing where nobody could look.
    """

    digest: str
    version: str | None
    files: list[str]
    targets: int
    examples: list[str]
    held: NotRequired[int]
    plan: NotRequired[Plan]


class Fleet(TypedDict):
    """The data of a fleet's commands.

    `files` is the digest of the files, `groups` are those of a plan, largest first. `carried` is
    the digest of the files that a `migrate` left in force in all targets, `held` how many files
    wait for the new code in some of them; the former is missing where a target lacks a file.
    """

    files: str
    groups: list[Group]
    members: list[Member]
    carried: NotRequired[str]
    held: NotRequired[int]


class Line(TypedDict):
    """What the Lambda answers for one target of a fleet: so little that a state machine carries it.

    `files` is the digest of the files that it got, `tasks` are what would run, `digest` approves
    that in every target in this state; `carried` is what a `migrate` answers as data (`Carried`),
    `held` how many files it left for later. The log has the whole result.
    """

    result_version: int
    command: str
    run_id: str
    outcome: Outcome
    files: str
    digest: str | None
    member: Member
    tasks: list[str]
    warnings: list[str]
    error: Error | None
    carried: NotRequired[str]
    held: NotRequired[int]


# What a command answers beside what it ran; which of them is the command's.
Data = (
    list[Standing] | list[Event] | list[Finding] | list[Preview] | list[str]
    | Plan | Proofs | Rehearsal | Carried | Fleet | None
)  # fmt: skip


class Document(TypedDict):
    """The result document. Times are ISO 8601 in UTC, durations milliseconds.

    `held` are pending files that a run leaves for later on purpose, each with why; it is missing
    where there are none.
    """

    result_version: int
    command: str
    run_id: str
    outcome: Outcome
    exit_code: int
    target: Target
    started_at: str
    duration_ms: int
    applied: list[Applied]
    pending: list[Task]
    warnings: list[str]
    data: Data
    error: Error | None
    held: NotRequired[list[Task]]


class Result:
    """Gathers what a run did; `document()` is what the world sees.

    Outcomes: "applied" (something was done), "noop" (nothing was to do), "planned" (a dry run),
    "incomplete" (stopped at the deadline, run again), "failed".
    """

    def __init__(self, command: str, run_id: str):
        self.command = command
        self.run_id = run_id
        self.target: Target = {}
        self.applied: list[Applied] = []
        # What the same run did when it was called before.
        self.earlier: list[Applied] = []
        self._pending: dict[str, Task] = {}
        # What waits on purpose, and does not keep the run from being done.
        self.held: list[Task] = []
        self.warnings: list[str] = []
        self.version: str | None = None  # the newest in force before the run
        self.data: Data = None
        self.planned = False
        self.changed = False
        self.error: RunnerError | None = None
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()

    @property
    def outcome(self) -> Outcome:
        """One word for what came of it."""
        if self.error:
            return "incomplete" if self.error.kind == "incomplete" else "failed"
        if self.planned:
            return "planned"
        return "applied" if self.earlier or self.applied or self.changed else "noop"

    @property
    def exit_code(self) -> int:
        """The documented exit code."""
        return self.error.exit_code if self.error else 0

    @property
    def pending(self) -> list[Task]:
        """The files that are still to run, in order."""
        return list(self._pending.values())

    def await_tasks(self, tasks: Iterable[Task]) -> None:
        """Take the files that are to run."""
        self._pending = {task["file"]: task for task in tasks}

    def moved(self, file: str, backfill: Backfill) -> None:
        """Take how far the backfill of a file is that is to run."""
        self._pending[file]["backfill"] = backfill

    def done(self, entry: Applied) -> None:
        """Take a file that was run and recorded."""
        self._pending.pop(entry["file"], None)
        self.applied.append(entry)

    def hold(self, task: Task) -> None:
        """Take a file that waits, or goes on elsewhere."""
        self._pending.pop(task["file"], None)
        self.held.append(task)

    def document(self) -> Document:
        """Return the result as JSON has it."""
        document: Document = {
            "result_version": VERSION,
            "command": self.command,
            "run_id": self.run_id,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "target": self.target,
            "started_at": self._started.isoformat(timespec="seconds"),
            "duration_ms": round((time.monotonic() - self._clock) * 1000),
            "applied": [*self.earlier, *self.applied],
            "pending": self.pending,
            "warnings": self.warnings,
            "data": self.data,
            "error": self.error.document() if self.error else None,
        }
        if self.held:
            document["held"] = self.held
        return document
