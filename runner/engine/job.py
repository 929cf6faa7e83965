"""A planned file that is ready to run: its SQL, checked and cut into messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from runner import result
from runner.engine.plan import Task
from runner.engine.standing import standing
from runner.errors import ConfigurationError, ValidationFailed
from runner.files import pieces
from runner.files.examine import Message, described, examine, sql_of
from runner.files.folder import Migration
from runner.files.pieces import Near, Piece
from runner.history.table import Record


class Job(NamedTuple):
    """A file that is ready to run; `replaced` and `plain` are those of its check.

    `whole` is its text, None for a large one: that is read, cut and checked while it runs.
    """

    task: Task
    whole: str | None
    messages: tuple[Message, ...]
    transactional: bool
    replaced: tuple[str, ...] | None = None
    plain: bool = False

    @property
    def migration(self) -> Migration:
        """The file."""
        return self.task.migration

    @property
    def text(self) -> str:
        """Its text; a large one is never held as one."""
        assert self.whole is not None
        return self.whole

    def pieces(self) -> Iterator[Piece]:
        """Yield what is sent of it, one after the other.

        Raises:
            ValidationFailed: a large one holds what a migration must not.
            ConfigurationError: a large one is not what was planned.
        """
        if self.whole is None:
            return pieces.pieces_of_large(self.migration)
        return pieces.pieces_of(self.whole, self.messages)

    def near(self, offset: int) -> Near:
        """Return what is around a place in it, as the file has it.

        What was sent has blanks for the BEGIN and COMMIT that a file is wrapped in.

        Raises:
            ConfigurationError: it is large and cannot be read any more.
        """
        if self.whole is None:
            return pieces.near(self.migration, offset)
        try:
            return Near(self.migration.text(), offset)
        except ConfigurationError:
            return Near(self.whole, offset)

    def beginning(self, count: int | None = None) -> str:
        """Return so many of its characters; of a large one fewer, and how large it is."""
        if self.whole is None:
            size = f"{self.migration.size:,} bytes in all"
            return f"{self.near(0).text[:count]}\n-- … of {self.migration.name}, {size}"
        return self.whole[:count]

    def record(self, run_id: str) -> Record:
        """Return what the history says of it."""
        migration = self.migration
        kind = "repeatable" if migration.kind == "R" else "versioned"
        return Record(
            migration.key, kind, migration.description, migration.name, migration.checksum, run_id
        )

    def describe(self) -> result.Task:
        """Return it as the result document lists it."""
        migration, row = self.migration, self.task.resumes
        task: result.Task = {
            "action": self.task.action,
            "version": migration.key,
            "description": migration.description,
            "file": migration.name,
            "checksum": migration.checksum,
            "transactional": self.transactional,
            "why": self.task.why,
        }
        if batch := migration.directives.batch:
            begun = row.checkpoint if row and row.state != "applied" else None
            task["backfill"] = standing(batch, begun)
        return task


class Done(NamedTuple):
    """What came of a job.

    `duration_ms` is how long its file ran, `trace` what it locked as the history's log has it
    (None where the answer to the commit was lost), `notices` what the server said meanwhile,
    `attempts` in which attempt it succeeded, `backfill` how much it was.
    """

    duration_ms: int
    trace: result.Trace | None
    notices: list[str]
    attempts: int = 1
    backfill: result.Backfill | None = None

    def entry(self, job: Job) -> result.Applied:
        """Return the job as the result document lists what was applied."""
        entry: result.Applied = {
            **job.describe(),
            "duration_ms": self.duration_ms,
            "attempts": self.attempts,
            "notices": self.notices,
            **(self.trace or {}),
        }
        if self.backfill:
            entry["backfill"] = self.backfill
        return entry


def prepare(tasks: Iterable[Task], known: dict[str, Job] | None = None) -> list[Job]:
    """Check the SQL of the planned files and cut it into messages.

    Parameters:
        known: files that were checked for another target, by name; these are added.

    Raises:
        ValidationFailed: with every problem of every file; nothing was run.

    """
    jobs, problems = [], []
    known = {} if known is None else known
    for task in tasks:
        name = task.migration.name
        if name in known:
            job = known[name]._replace(task=task)
        else:
            job, found = _checked(task)
            problems += found
            known |= {} if found else {name: job}
        problems += _other_than_begun(job)
        jobs.append(job)
    if problems:
        raise ValidationFailed(
            f"{len(problems)} problem{'s' * (len(problems) > 1)} in the SQL to run",
            details=tuple(problems),
            fix="nothing was run; mend the places named above",
        )
    return jobs


def _checked(task: Task) -> tuple[Job, list[str]]:
    """Return a planned file as a job, and what is wrong with its SQL."""
    if pieces.is_large(task.migration):
        return Job(task, None, (), transactional=True), []
    text = sql_of(task.migration)
    checked = examine(task.migration, text)
    problems = [described(task.migration, text, problem) for problem in checked.problems]
    job = Job(task, text, checked.messages, checked.transactional, checked.replaced, checked.plain)
    return job, problems


def _other_than_begun(job: Job) -> list[str]:
    """Return the problem of a half-done file that would run from its beginning, if it is one."""
    row = job.task.resumes
    if row is None or row.state == "applied":
        return []
    backfills = job.migration.directives.batch is not None
    if backfills != (row.checkpoint is not None) and (row.checkpoint or row.steps):
        was, is_now = ("a backfill", "none") if row.checkpoint else ("none", "a backfill")
        problem = (
            f"{job.migration.name}: it stopped half-way as {was} and would go on as {is_now}: put"
            " its directives back as they were, or take out what is done and forget it: runner"
            f" repair --forget {row.version}"
        )
        return [problem]
    if not job.transactional:
        return []
    problem = (
        f"{job.migration.name}: it stopped half-way as a file without a transaction, and would run"
        " in one now: put '-- runner: no-transaction' back on top, or take out what is done and"
        f" forget it: runner repair --forget {row.version}"
    )
    return [problem]
