"""What a command and an option are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from runner.errors import ConfigurationError
from runner.report import text
from runner.result import Document
from runner.shape import misnamed

if TYPE_CHECKING:
    from runner.engine.run import Run


_LONGEST_ID = 200
_SIZE = re.compile(r"([0-9]{1,9}) ?(kB|MB|GB|TB)").fullmatch
_UNITS = {"kB": 10, "MB": 20, "GB": 30, "TB": 40}  # powers of two, as PostgreSQL has them


class Option(NamedTuple):
    """One option of a command, as the command line and an event have it.

    `kind` is what JSON holds: a text, a number, or true; `read` makes of that the value that
    the command takes, raising ConfigurationError. `one_of` names options that exclude each
    other. One that is `once` speaks of a single call, and no settings file may hold it; one
    that is `rare` is in the long help only.
    """

    name: str
    help: str
    metavar: str | None = None
    kind: type[str | int | float | bool] = bool
    read: Callable[[Any], Any] | None = None
    default: Any = None
    choices: tuple[str, ...] = ()
    positional: bool = False
    required: bool = False
    short: str | None = None
    one_of: str | None = None
    once: bool = False
    rare: bool = False

    @property
    def flag(self) -> str:
        """The option as a person writes it."""
        return self.name if self.positional else "--" + self.name.replace("_", "-")

    def value(self, given: object) -> Any:
        """Return the value of what was given.

        Raises:
            ConfigurationError: it is of another kind, or not what the option takes.
        """
        # bool is an int to Python, not to a caller.
        if type(given) is not self.kind:
            raise ConfigurationError(f"option {self.name} takes a {self.kind.__name__}")
        if given == "":
            raise ConfigurationError(
                f"{self.flag} is empty: a variable that is not set?",
                fix=f"say {self.flag}" if self.required else f"leave {self.flag} out",
            )
        if self.choices and given not in self.choices:
            raise ConfigurationError(f"{self.flag} is one of: {', '.join(self.choices)}")
        try:
            return self.read(given) if self.read else given
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.flag}: {error.message}", fix=error.fix) from error


# What a caller of the Lambda may do, which is the alias that IAM lets it call.
Right = Literal["read", "live", "admin", "rehearse"]


class Needs(Enum):
    """What of the shared options a command uses."""

    FILES = "the files"
    DATABASE = "the database"


class Context(NamedTuple):
    """What every command may use of its caller.

    `database` gives the run on the target, and raises ConfigurationError where nothing says
    which that is; `url` is where the caller names it, `progress` is told what happens, `deadline`
    is the seconds that the caller gives; where `on_copy`, the target is a copy of another database,
    made to rehearse on. `own` are the flags given that speak of a run from here, and mean nothing
    where a function runs it.
    """

    run_id: str
    sql_dir: Path
    database: Callable[[str | None], Run]
    progress: Callable[[str], None]
    url: str | None = None
    deadline: float | None = None
    on_copy: bool = False
    own: tuple[str, ...] = ()


# The options that were given, by name, as the command takes them.
Options = Mapping[str, Any]


class Command(NamedTuple):
    """One command; `right`: the Lambda serves it as well, to whoever may call that alias.

    `one_needed`: options that exclude each other cannot all be left out; `aliases` are what
    other tools call it, on the command line only.

    `columns` are shown of the data's entries, `lines` shows data of another shape, and
    `summary` is the last line where that of a run does not fit.
    """

    name: str
    help: str
    run: Callable[[Context, Options], Document]
    options: tuple[Option, ...] = ()
    needs: frozenset[Needs] = frozenset()
    right: Right | None = None
    columns: tuple[str, ...] = ()
    lines: Callable[[Document], list[str]] | None = None
    summary: Callable[[Document], str] | None = None
    one_needed: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether it only says what it would do until it is told --yes."""
        return any(option.name == "yes" for option in self.options)

    def agreed(self, given: Options, document: Document) -> dict[str, Any]:
        """Return the options with which what a result says is done, and nothing else."""
        shown = text.digest(document)
        pinned = {"plan_digest": (shown,)} if shown else {}
        return {**given, **pinned, "yes": True}

    def text(self, document: Document, screen: text.Screen = text.PAPER) -> str:
        """Return a result of this command as a person reads it."""
        lines = text.table_of(document, self.columns, screen) if self.columns else []
        lines += self.lines(document) if self.lines else []
        last = self.last_line(document, asked=screen.asked)
        return "\n".join([*lines, text.as_text(document, last, screen)])

    def last_line(self, document: Document, *, asked: bool = False) -> str:
        """Return the outcome in a line: what, where, how many; `asked`: a question follows."""
        return text.last_line(document, self.summary, asked=asked)

    def values(self, given: Mapping[str, object]) -> dict[str, Any]:
        """Return the values of the options that were given.

        Raises:
            ConfigurationError: one is unknown, of another kind or missing, or two exclude
                each other.
        """
        known = {option.name: option for option in self.options}
        for name in given:
            if name not in known:
                raise ConfigurationError(f"{self.name} takes no option {name!r}")
        for name, option in known.items():
            if option.required and name not in given:
                raise ConfigurationError(f"{self.name} needs {option.flag}")
        for group in dict.fromkeys(filter(None, (option.one_of for option in self.options))):
            self._one_of([option for option in self.options if option.one_of == group], given)
        return {name: known[name].value(value) for name, value in given.items()}

    def _one_of(self, options: list[Option], given: Mapping[str, object]) -> None:
        chosen = [option for option in options if option.name in given]
        if len(chosen) > 1 or (self.one_needed and not chosen):
            flags = " or ".join(option.flag for option in options)
            raise ConfigurationError(f"{self.name} takes one of {flags}")


def named_run(text: str) -> str:
    """Return the id of a run, which goes into logs, the history and the server's list of sessions.

    Raises:
        ConfigurationError: it is too long for that, or holds what cannot be seen.
    """
    if len(text) > _LONGEST_ID or not text.isprintable():
        raise ConfigurationError(f"a run's id is at most {_LONGEST_ID} printable characters")
    return text


def digests(text: str) -> tuple[str, ...]:
    """Return the digests of plans that were approved.

    Raises:
        ConfigurationError: there is none: nothing was approved then, and not anything.
    """
    found = tuple(text.split(","))
    if not all(map(str.strip, found)):
        raise ConfigurationError("it holds no digest, or a comma too many")
    return found


def named_schema(text: str) -> str:
    """Return the name of a schema.

    Raises:
        ConfigurationError: no schema of ours can have it.
    """
    if problem := misnamed(text):
        raise ConfigurationError(problem)
    return text


def share(text: str) -> tuple[int, bool]:
    """Return a number from 0, and whether it is per cent.

    Raises:
        ConfigurationError: it is none, or more than all.
    """
    number = text.removesuffix("%")
    percent = number != text
    if not (number.isascii() and number.isdecimal()) or len(number) > 9:  # noqa: PLR2004
        raise ConfigurationError(f"{text} is no number, or number of per cent", fix="5, or 5%")
    if percent and int(number) > 100:  # noqa: PLR2004
        raise ConfigurationError(f"{text} is more than all")
    return int(number), percent


def positive(number: int) -> int:
    """Return a number from 1.

    Raises:
        ConfigurationError: it is less.
    """
    if number < 1:
        raise ConfigurationError(f"{number} is no number from 1")
    return number


def sized(text: str) -> int:
    """Return the bytes that a text says, such as 512MB or 1GB.

    Raises:
        ConfigurationError: it is no size.
    """
    found = _SIZE(text)
    if not found:
        raise ConfigurationError(f"{text!r} is not a size such as 512MB or 1GB")
    return int(found[1]) << _UNITS[found[2]]
