"""What can go wrong, each kind with its documented exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NotRequired, TypedDict

EXIT_CODES = {
    0: "done",
    1: "unexpected error",
    2: "usage or configuration",
    3: "a migration failed and was rolled back",
    4: "a non-transactional migration needs attention",
    5: "lock not obtained",
    6: "validation: checksum, missing, out of order, drift",
    7: "lint or proof refused",
    8: "incomplete: stopped at the deadline, run again to go on",
    9: "target unreachable",
    130: "interrupted, or its question was answered with no",
}


Kind = Literal[
    "unexpected", "configuration", "migration", "attention", "lock", "validation", "refused",
    "incomplete", "unreachable", "interrupted", "unproved",
]  # fmt: skip

# The exit code of each kind of error; a result in which they do not agree proves nothing.
CODES: dict[Kind, int] = {
    "unexpected": 1, "unproved": 1, "configuration": 2, "migration": 3, "attention": 4, "lock": 5,
    "validation": 6, "refused": 7, "incomplete": 8, "unreachable": 9, "interrupted": 130,
}  # fmt: skip


class Session(TypedDict):
    """Another session of the server: who is in the way.

    `transaction_seconds` is null outside a transaction; `mode` and `relation` are the lock of
    ours that it keeps us from, where it is known.
    """

    pid: int
    user: str | None
    application: str | None
    address: str | None
    state: str | None
    transaction_seconds: float | None
    query: str | None
    mode: NotRequired[str | None]
    relation: NotRequired[str | None]


class Error(TypedDict):
    """An error as the result document has it; the fields from `file` on are a migration's."""

    kind: Kind
    message: str
    fix: str | None
    details: list[str]
    file: NotRequired[str]
    line: NotRequired[int | None]
    column: NotRequired[int | None]
    excerpt: NotRequired[str | None]
    sqlstate: NotRequired[str | None]
    detail: NotRequired[str | None]
    hint: NotRequired[str | None]
    context: NotRequired[str | None]
    blockers: NotRequired[list[Session]]


class RunnerError(Exception):
    """An error whose message is meant for a person, with the way out.

    Parameters:
        message: what happened, one line.
        fix: what to do now.
        details: further lines, in the order they help.
    """

    kind: Kind = "unexpected"

    @property
    def exit_code(self) -> int:
        """The documented exit code."""
        return CODES[self.kind]

    def __init__(self, message: str, *, fix: str | None = None, details: tuple[str, ...] = ()):
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.details = details

    def document(self) -> Error:
        """Return the error as the result document has it."""
        return {
            "kind": self.kind,
            "message": self.message,
            "fix": self.fix,
            "details": list(self.details),
        }


class ConfigurationError(RunnerError):
    """The call, the environment or a file name is wrong; nothing was connected to."""

    kind = "configuration"


class MigrationFailed(RunnerError):
    """A migration failed and was rolled back.

    Parameters:
        file: path of the migration.
        line, column: place in the file, from 1; None where the server gave none.
        excerpt: the lines around the place, with a caret.
        sqlstate, detail, hint, context: as the server said.
        blockers: the sessions that held the lock we wanted.
    """

    kind: Kind = "migration"

    def __init__(
        self,
        message: str,
        *,
        file: str,
        line: int | None = None,
        column: int | None = None,
        excerpt: str | None = None,
        sqlstate: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        context: str | None = None,
        blockers: tuple[Session, ...] = (),
        fix: str | None = None,
        details: tuple[str, ...] = (),
    ):
        super().__init__(message, fix=fix, details=details)
        self.file = file
        self.line = line
        self.column = column
        self.excerpt = excerpt
        self.sqlstate = sqlstate
        self.detail = detail
        self.hint = hint
        self.context = context
        self.blockers = blockers

    def document(self) -> Error:
        """Return the error as the result document has it."""
        return {
            **super().document(),
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "excerpt": self.excerpt,
            "sqlstate": self.sqlstate,
            "detail": self.detail,
            "hint": self.hint,
            "context": self.context,
            "blockers": list(self.blockers),
        }


class NeedsAttention(MigrationFailed):
    """A non-transactional migration stopped where only a person can decide."""

    kind = "attention"


class LockNotObtained(RunnerError):
    """Another runner holds the runner's lock."""

    kind = "lock"


class ValidationFailed(RunnerError):
    """Files and history do not fit; nothing was run."""

    kind = "validation"


class Refused(RunnerError):
    """Lint, a proof or a plan's digest refused the run."""

    kind = "refused"


class NotProved(Refused):
    """A migration is not undone by its U file."""


class Incomplete(RunnerError):
    """The deadline came; what was applied stays, running again goes on."""

    kind = "incomplete"


class Behind(Incomplete):
    """`status --check` found migrations that are not applied."""


class Unreachable(RunnerError):
    """The database cannot be reached or logged in to."""

    kind = "unreachable"


class NotThere(Unreachable):
    """There is no function of this name, no such alias of it, or no such state machine."""


class Interrupted(RunnerError):
    """Somebody pressed Ctrl-C, or the process was told to end."""

    kind = "interrupted"


class Unproved(RunnerError):
    """A call of the Lambda came back without a proof of success."""

    kind = "unproved"


@contextmanager
def extra(name: str, *, what: str) -> Iterator[None]:
    """Import a package of an optional extra inside, or say in one line which extra is missing.

    Parameters:
        name: the extra, as in pip install 'schema-migrations[name]'.
        what: what needs it, for a person.

    Raises:
        ConfigurationError: the package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{what} needs the package {error.name}, which is not installed",
            fix=f"pip install 'schema-migrations[{name}]'",
        ) from error
