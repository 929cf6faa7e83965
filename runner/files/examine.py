"""What is wrong with a migration's SQL, whether it needs a transaction, and how it is cut.

From text alone: nothing here knows a database.
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

from runner.files import backfill
from runner.files.directives import stray_directive
from runner.files.folder import Migration
from runner.syntax import effects, statements
from runner.syntax.lexer import Lexer, Problem, unquoted
from runner.syntax.names import index_built
from runner.syntax.nontransactional import non_transactional
from runner.syntax.scanner import Statement, scan, takes_data
from runner.syntax.search import mentions

# Characters of one message. Larger files go in several within one transaction: the server
# parses a message whole, and at this size its memory and ours stay small at the same speed.
_MESSAGE = 1 << 20

# Statements of a file without a transaction.
_STEPS = 1_000

# Characters of a file that may share a message.
_SMALL = 1 << 15
# Letters of a name so long that the server tells of it before anything in the message runs.
_LONG = 64
_long = re.compile(rf"\w{{{_LONG}}}").search

# Recorded, it could never be filled in: its checksum would be another.
_EMPTY = Problem(
    0, "no statement", "write the SQL before you run it; to do nothing on purpose: select 1;"
)


class Part(NamedTuple):
    """Whether a text is the first part of its file, and whether it is the last."""

    first: bool = True
    last: bool = True


_WHOLE = Part()


class Message(NamedTuple):
    """What is sent at once: a span of the text, and the span of COPY data that follows it."""

    start: int
    end: int
    copy_data: tuple[int, int] | None = None


class Checked(NamedTuple):
    """What a look at a file's text found: its problems in order, and how it will run.

    `replaced` are the relations that it may rewrite or drop, None: any; `plain`: it is small and
    ordinary, so that it may share a message with others like it. Of a part that is not the last,
    `end` is the semicolon of the last statement in it (0: it holds no whole one), and `copies`:
    that one takes the data that follows.
    """

    problems: tuple[Problem, ...]
    transactional: bool
    messages: tuple[Message, ...]
    replaced: tuple[str, ...] | None
    plain: bool
    end: int
    copies: bool = False


def sql_of(migration: Migration) -> str:
    """Return a file's text as it is sent.

    Raises:
        ConfigurationError: it is not what it was when the folder was read.
    """
    asked = migration.directives
    return statements.executable(migration.text(), transactional=not asked.no_transaction)


def examine(migration: Migration, text: str, part: Part = _WHOLE) -> Checked:
    """Check a file's text, or a part of it, and cut it into messages."""
    problems: list[Problem] = []
    unnamed: list[Problem] = []
    cannot: list[Problem] = []
    limits: list[Problem] = []
    controls: dict[int, str] = {}
    messages: list[Message] = []
    count = first = 0
    statement: Statement | None = None
    names: set[str] | None = set()
    ordinary = len(text) <= _SMALL and not _odd(text)
    batch = migration.directives.batch
    ranged = backfill.look(text, batch)
    for statement in statements.checked(text, problems, more=not part.last):
        first = first if count else statement.start
        count += 1
        controls |= _controls(statement)
        reason = non_transactional(statement)
        if reason:
            cannot.append(Problem(statement.start, reason, ""))
            unnamed += _unnamed(statement)
        touched = effects.replaced(statement) if names is not None else None
        names = None if names is None or touched is None else names.union(touched)
        ordinary = ordinary and statement.keyword in effects.ORDINARY
        if statement.keyword == "SET":
            limits += _limit(statement)
        problems += ranged(statement)
        _gather(messages, statement)
    if part == _WHOLE and not count and not problems:
        problems.append(_EMPTY)
    problems += unnamed + _way_back(text)
    if migration.directives.no_transaction or cannot:
        problems = [_around(problem, controls, cannot) for problem in problems] + limits
    top = first if part.first else 0  # of a later part nothing is the file's top
    stray = stray_directive(text, top) if count or not part.first else None
    if stray is not None:
        problems.append(Problem(stray, "a directive works at the file's top only", ""))
    others = part != _WHOLE or len(cannot) + len(controls) < count
    mixed = bool(cannot) and others and not migration.directives.no_transaction
    if mixed:
        problems += [_mixed(problem) for problem in cannot]
    if part == _WHOLE and len(messages) == 1 and not messages[0].copy_data:
        messages = [Message(0, len(text))]  # the usual file travels as it is
    alone = migration.directives.no_transaction or (bool(cannot) and not mixed)
    if alone:
        problems += _too_many(text)
    return Checked(
        tuple(problems),
        transactional=not (alone or batch),
        messages=tuple(messages),
        replaced=None if names is None else tuple(sorted(names)),
        plain=bool(count) and ordinary and names is not None and _asks_nothing(migration, alone),
        end=len(text) if part.last else _semicolon(statement),
        copies=not part.last and statement is not None and takes_data(statement),
    )


def _too_many(text: str) -> list[Problem]:
    """Return the problem of a file whose journal would take more than its work.

    Each statement of a file without a transaction is recorded in a row that holds all before it.
    """
    over = next(itertools.islice(scan(text), _STEPS, None), None)
    if over is None:
        return []
    message = f"a file without a transaction takes {_STEPS:,} statements, and this is one more"
    fix = "put those that can be in a transaction, rows above all, into a file of their own"
    return [Problem(over.start, message, fix)]


def _semicolon(statement: Statement | None) -> int:
    return Lexer(statement.source).skip_trivia(statement.end) if statement else 0


def _odd(text: str) -> bool:
    """Return whether a small file holds a setting in disguise, or a name that is too long."""
    longest = max(map(len, text.split()), default=0)
    return mentions(text, "set_config") or (longest >= _LONG and _long(text) is not None)


def _asks_nothing(migration: Migration, alone: bool) -> bool:
    asked = migration.directives
    limited = asked.lock_timeout is not None or asked.statement_timeout is not None
    return not (alone or limited or asked.batch)


def described(migration: Migration, text: str, problem: Problem) -> str:
    """Return a problem as a line for a person: file, line, column, what, and what to do."""
    return described_at(migration, statements.position(text, problem.offset), problem)


def described_at(migration: Migration, place: tuple[int, int], problem: Problem) -> str:
    """Return a problem as such a line, given its line and column."""
    fix = f": {problem.fix}" if problem.fix else ""
    return f"{migration.name}:{place[0]}:{place[1]}: {problem.message}{fix}"


# How files of dbmate, goose, sql-migrate and MyBatis say where their way back begins.
_BACK_WORDS = ("migrate:down", "+goose", "+migrate", "//@undo")
_BACK = re.compile(
    r"^[ \t]*--[ \t]*(?:migrate:down|\+goose[ \t]+Down|\+migrate[ \t]+Down|//@UNDO)\b",
    re.IGNORECASE | re.MULTILINE,
)


def _way_back(text: str) -> list[Problem]:
    """Return the problem of a file that holds both ways, of which both would run."""
    # Most files hold none of the words, and one of many megabytes is not searched line by line.
    found = _BACK.search(text) if mentions(text, *_BACK_WORDS) else None
    if not found:
        return []
    fix = "put what is below it into the U file of this version"
    return [Problem(found.start(), "another tool's way back, which would run as well", fix)]


_LIMITS = {"lock_timeout", "statement_timeout"}


def _limit(statement: Statement) -> list[Problem]:
    """Return the problem of a limit that the runner's own for each statement would override."""
    words = [word for word in statement.head if word not in {"SESSION", "LOCAL"}]
    name = unquoted(words[1]).lower() if words[:1] == ["SET"] and words[1:] else ""
    if name not in _LIMITS:
        return []
    return [
        Problem(
            statement.start,
            f"SET {name} has no effect in a file without a transaction",
            f"say it on top of the file, for each of its statements: -- runner: {name}=…",
        )
    ]


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


def _controls(statement: Statement) -> dict[int, str]:
    """Return a statement's word by its place, if it begins or ends a transaction."""
    controls = statements.controls_transaction(statement)
    return {statement.start: statement.keyword} if controls else {}


def _around(problem: Problem, controls: dict[int, str], cannot: list[Problem]) -> Problem:
    """Return a problem, told anew if it is BEGIN or COMMIT of a file that has no transaction.

    Parameters:
        controls: what begins and ends transactions in it, by their places.
        cannot: what in it cannot run in a transaction.
    """
    word = controls.get(problem.offset)
    if word is None:
        return problem
    if cannot:
        fix = f"take it out: {cannot[0].message}, and without one each statement commits by itself"
    else:
        fix = (
            "take it out: each statement of this file commits by itself; or, if all of it can be in"
            " one transaction, take '-- runner: no-transaction' out"
        )
    return Problem(problem.offset, f"{word} in a file without a transaction", fix)


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
        and not takes_data(statement)
        and statement.end - last.start <= _MESSAGE
    )
    if last is not None and joins:
        messages[-1] = Message(last.start, statement.end)
    else:
        messages.append(Message(statement.start, statement.end, statement.copy_data))
