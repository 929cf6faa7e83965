"""From a planned file to what is sent: checked SQL, cut into messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from runner.engine.plan import Step
from runner.errors import ValidationFailed
from runner.files.directives import stray_directive
from runner.files.folder import Migration
from runner.history.table import Record
from runner.syntax import statements
from runner.syntax.names import index_built
from runner.syntax.statements import Statement

# Characters of one message. Larger files go in several within one transaction: the server
# parses a message whole, and at this size its memory and ours stay small at the same speed.
_MESSAGE = 1 << 20

_UNNAMED = (
    "a concurrent index without a name: give it one, so that what a failed build leaves is found"
)


class Message(NamedTuple):
    """What is sent at once: a span of the text, and the span of COPY data that follows it."""

    start: int
    end: int
    copy_data: tuple[int, int] | None = None


class Job(NamedTuple):
    """A file that is ready to run."""

    step: Step
    text: str
    messages: tuple[Message, ...]
    transactional: bool

    @property
    def migration(self) -> Migration:
        """The file."""
        return self.step.migration

    def record(self, run_id: str) -> Record:
        """Return what the history says of it."""
        migration = self.migration
        kind = "repeatable" if migration.kind == "R" else "versioned"
        return Record(
            migration.key, kind, migration.description, migration.name, migration.checksum, run_id
        )


class Done(NamedTuple):
    """What came of a job: how long its file ran, what it locked, in which attempt.

    `trace` is as the history's log has it; None where the answer to the commit was lost.
    """

    duration_ms: int
    trace: dict[str, Any] | None
    attempts: int = 1


def prepare(steps: Iterable[Step]) -> list[Job]:
    """Check the SQL of the planned files and cut it into messages.

    Raises:
        ValidationFailed: with every problem of every file; nothing was run.

    """
    jobs, problems = [], []
    for step in steps:
        text = statements.executable(step.migration.text())
        found, transactional, messages = examine(step.migration, text)
        problems += found
        jobs.append(Job(step, text, messages, transactional))
    if problems:
        raise ValidationFailed(
            f"{len(problems)} problem{'s' * (len(problems) > 1)} in the SQL to run",
            details=tuple(problems),
            fix="nothing was run; mend the places named above",
        )
    return jobs


def examine(migration: Migration, text: str) -> tuple[list[str], bool, tuple[Message, ...]]:
    """Return what is wrong with a file, whether it runs in a transaction, and its messages."""
    problems = [
        _line(migration, text, problem.offset, f"{problem.message}: {problem.fix}")
        for problem in statements.problems(text)
    ]
    count = 0
    cannot: list[tuple[int, str]] = []
    messages: list[Message] = []
    first = 0
    for statement in statements.scan(text):
        first = first if count else statement.start
        count += 1
        reason = statements.non_transactional(statement)
        if reason:
            cannot.append((statement.start, reason))
            index = index_built(statement)
            if index and not index.name:
                problems.append(_line(migration, text, statement.start, _UNNAMED))
        _gather(messages, statement)
    stray = stray_directive(text, first) if count else None
    if stray is not None:
        problems.append(_line(migration, text, stray, "a directive works at the file's top only"))
    mixed = cannot and len(cannot) < count and not migration.directives.no_transaction
    if mixed:
        problems += [
            _line(
                migration, text, offset,
                f"{reason}, but other statements of this file can: move it to a file of its own,"
                " or run the whole file without a transaction: '-- runner: no-transaction' on top",
            )
            for offset, reason in cannot
        ]  # fmt: skip
    transactional = not (migration.directives.no_transaction or (cannot and not mixed))
    if len(messages) == 1 and not messages[0].copy_data:
        messages = [Message(0, len(text))]  # the usual file travels as it is
    return problems, transactional, tuple(messages)


def _gather(messages: list[Message], statement: Statement) -> None:
    """Add a statement to the last message, or begin another where that one is full."""
    last = messages[-1] if messages else None
    joins = (
        last is not None
        and not last.copy_data
        and not statement.copy_data
        and statement.end - last.start <= _MESSAGE
    )
    if last is not None and joins:
        messages[-1] = Message(last.start, statement.end)
    else:
        messages.append(Message(statement.start, statement.end, statement.copy_data))


def _line(migration: Migration, text: str, offset: int, message: str) -> str:
    line, column = statements.position(text, offset)
    return f"{migration.name}:{line}:{column}: {message}"
