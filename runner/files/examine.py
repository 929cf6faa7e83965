"""What is wrong with a migration's SQL, whether it needs a transaction, and how it is cut.

From text alone: nothing here knows a database.
"""

from __future__ import annotations

from typing import NamedTuple

from runner.files.directives import stray_directive
from runner.files.folder import Migration
from runner.syntax import statements
from runner.syntax.lexer import Problem
from runner.syntax.names import index_built
from runner.syntax.nontransactional import non_transactional
from runner.syntax.scanner import Statement, scan

# Characters of one message. Larger files go in several within one transaction: the server
# parses a message whole, and at this size its memory and ours stay small at the same speed.
_MESSAGE = 1 << 20


class Message(NamedTuple):
    """What is sent at once: a span of the text, and the span of COPY data that follows it."""

    start: int
    end: int
    copy_data: tuple[int, int] | None = None


class Checked(NamedTuple):
    """What a look at a file's text found: its problems in order, and how it will run."""

    problems: tuple[Problem, ...]
    transactional: bool
    messages: tuple[Message, ...]


def examine(migration: Migration, text: str) -> Checked:
    """Check a file's text and cut it into messages."""
    problems = statements.problems(text)
    cannot: list[Problem] = []
    messages: list[Message] = []
    count = first = 0
    for statement in scan(text):
        first = first if count else statement.start
        count += 1
        reason = non_transactional(statement)
        if reason:
            cannot.append(Problem(statement.start, reason, ""))
            problems += _unnamed(statement)
        _gather(messages, statement)
    stray = stray_directive(text, first) if count else None
    if stray is not None:
        problems.append(Problem(stray, "a directive works at the file's top only", ""))
    mixed = 0 < len(cannot) < count and not migration.directives.no_transaction
    if mixed:
        problems += [_mixed(problem) for problem in cannot]
    if len(messages) == 1 and not messages[0].copy_data:
        messages = [Message(0, len(text))]  # the usual file travels as it is
    alone = migration.directives.no_transaction or (bool(cannot) and not mixed)
    return Checked(tuple(problems), not alone, tuple(messages))


def described(migration: Migration, text: str, problem: Problem) -> str:
    """Return a problem as a line for a person: file, line, column, what, and what to do."""
    line, column = statements.position(text, problem.offset)
    fix = f": {problem.fix}" if problem.fix else ""
    return f"{migration.name}:{line}:{column}: {problem.message}{fix}"


def _unnamed(statement: Statement) -> list[Problem]:
    index = index_built(statement)
    if index is None or index.name:
        return []
    return [
        Problem(
            statement.start,
            "a concurrent index without a name",
            "give it one, so that what a failed build leaves is found",
        )
    ]


def _mixed(problem: Problem) -> Problem:
    return Problem(
        problem.offset,
        f"{problem.message}, but other statements of this file can",
        "move it to a file of its own, or run the whole file without a transaction:"
        " '-- runner: no-transaction' on top",
    )


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
