"""The command line's parser, made from the table of commands."""

from __future__ import annotations

import argparse
import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

from runner.commands.command import Command, Needs, Option
from runner.commands.table import COMMANDS, SHARED
from runner.errors import EXIT_CODES, ConfigurationError, extra
from runner.settings import Settings, read
from runner.streams import write

# The commands by each of their names.
_NAMES = {name: each for each in COMMANDS.values() for name in (each.name, *each.aliases)}


class Usage(ConfigurationError):
    """The command line cannot be read."""

    def __init__(self, usage: str, message: str):
        super().__init__(message, fix="see: runner --help")
        self.usage = usage


class Arguments(NamedTuple):
    """A command line that was read: the command, its options, and those that commands share."""

    command: Command
    options: dict[str, Any]
    shared: dict[str, Any]


class _Parser(argparse.ArgumentParser):
    """A parser whose help leaves out what is rare, unless all is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)
        self.rare: list[tuple[argparse.Action, str]] = []
        self.words: Any = None
        self.add_argument("--help-all", action=_HelpAll, nargs=0, help="show every option and exit")

    def error(self, message: str) -> NoReturn:
        raise Usage(self.format_usage(), message + _meant(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        write(file or sys.stderr, message, end="")

    def reveal(self) -> None:
        """Let the help show every option, of each command too."""
        for action, text in self.rare:
            action.help = text
        for word, later in self.words.choices.items() if self.words else ():
            self.words.choices[word] = later.parser  # who reads them all takes nothing else
            later.parser.reveal()

    def add_words(self, dest: str) -> None:
        """Let the parser take a word that has a parser of its own."""
        self.words = self.add_subparsers(
            dest=dest, required=True, metavar="COMMAND", parser_class=_Later
        )

    def add_word(self, name: str, said: str, fill: Callable[[_Parser], None], **more: Any) -> None:
        """Add one, and what gives its parser what it takes."""
        self.words.add_parser(name, help=said, description=said, fill=fill, **more)


class _Later:
    """A word's parser, made when a line turns out to say the word: all of them take 15 ms."""

    def __init__(self, fill: Callable[[_Parser], None], **settings: Any) -> None:
        self._fill = fill
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parser, name)

    @functools.cached_property
    def parser(self) -> _Parser:
        made = _Parser(**self._settings)
        self._fill(made)
        return made


class _HelpAll(argparse.Action):
    """Print the help of a command with all of its options."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        cast(_Parser, parser).reveal()
        parser.print_help()
        parser.exit()


class _Version(argparse.Action):
    """Print the version, which is looked up only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms

        write(sys.stdout, f"runner {version('schema-migrations')}")
        parser.exit()


class _Completion(argparse.Action):
    """Print what a shell reads to complete the runner's words."""

    def __call__(
        self, parser: argparse.ArgumentParser, _: object, shell: Any, __: object = None
    ) -> NoReturn:
        with extra("completion", what="--completion"):
            import shtab  # noqa: PLC0415 - of nothing else

        cast(_Parser, parser).reveal()
        write(sys.stdout, shtab.complete(parser, shell))
        parser.exit()


def _meant(message: str) -> str:
    """Return what a message about an unknown word adds: the known one that is nearest."""
    from difflib import get_close_matches  # noqa: PLC0415 - of a mistake only

    word = re.match(
        r"argument COMMAND: invalid choice: '(.*?)'|unrecognized arguments: (\S+)", message
    )
    if word is None:
        return ""
    known = (
        [name.partition(" ")[0] for name in _NAMES]
        if word[1]
        else [option.flag for option in _options()]
    )
    near = get_close_matches(word[1] or word[2], known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _options() -> list[Option]:
    own = [option for command in COMMANDS.values() for option in command.options]
    return [*own, *(option for options in SHARED.values() for option in options)]


def parse(
    arguments: Sequence[str],
    environ: Mapping[str, str] = os.environ,
    folder: Path = Path(),
) -> Arguments:
    """Read a command line, and the settings where it says nothing.

    Parameters:
        environ: where variables stand for options.
        folder: where a file may set them.

    Raises:
        Usage: it cannot be read.
        ConfigurationError: an option's value is not what it takes, or a setting's.
    """
    found = {
        name: value
        for name, value in vars(_given(arguments)).items()
        if value is not None and value is not False
    }
    settings = read(environ, folder)
    command = _NAMES[found.pop("command")]
    # A setting of a schema speaks of databases that are reached from here.
    named, shared = "schema" in found, {}
    for option in (option for options in SHARED.values() for option in options):
        given = found.pop(option.name, settings.shared.get(option.name))
        shared[option.name] = option.default if given is None else option.value(given)
    if command.name == "invoke":
        schema = {"schema": shared["schema"]} if named else {}
        return Arguments(command, {**_invoked(found, settings), **schema}, shared)
    return Arguments(command, command.values(settings.completed(command, found)), shared)


def _given(arguments: Sequence[str]) -> argparse.Namespace:
    top = parser()
    if not arguments:
        raise Usage(top.format_help() + "\n", "which command?")
    return top.parse_args(arguments)


def _invoked(found: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the options of `invoke`: those of the command that it is to run are its own."""
    invoke = COMMANDS["invoke"]
    own = {option.name: found.pop(option.name) for option in invoke.options if option.name in found}
    pairs = found.pop("option", [])
    command = _NAMES[found.pop("invoked")]
    given = settings.completed(command, {**found, **_pairs(command, pairs)})
    command.values(given)  # what the function would refuse is refused here
    own = invoke.values(settings.completed(invoke, own))
    return {**own, "command": command.name, "options": given}


def _pairs(command: Command, texts: Iterable[str]) -> dict[str, Any]:
    """Return the options given as NAME=VALUE, or as a bare NAME for a switch."""
    kinds = {option.name: option.kind for option in command.options}
    pairs: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.replace("-", "_")
        number = kinds.get(name) is int and value.isdigit()
        pairs[name] = (int(value) if number else value) if equals else True
    return pairs


def parser() -> _Parser:
    """Return the parser of every command."""
    codes = "\n".join(f"  {code}  {text}" for code, text in EXIT_CODES.items())
    top = _Parser(
        prog="runner",
        description="Apply numbered SQL files to PostgreSQL, each in a transaction, each once.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    top.add_argument(
        "--completion", action=_Completion, choices=("bash", "zsh"), help="print what completes"
        " these words in a shell, and exit",
    )  # fmt: skip
    _add_shared(top, SHARED)
    top.add_words("command")
    groups: dict[str, list[Command]] = {}
    for command in COMMANDS.values():
        groups.setdefault(command.name.rpartition(" ")[0], []).append(command)
    for command in COMMANDS.values():
        group, _, _ = command.name.rpartition(" ")
        if not group:
            _add_command(top, command, _fill)
        elif command is groups[group][0]:
            _add_group(top, group, groups[group])
    return top


def _add_group(top: _Parser, name: str, commands: Sequence[Command]) -> None:
    """Add a word that is said before several commands."""

    def fill(parser: _Parser) -> None:
        parser.add_words("command")
        for command in commands:
            _add_command(parser, command, _fill)

    words = ", ".join(command.name.rpartition(" ")[2] for command in commands)
    top.add_word(name, f"for many targets at once: {words}", fill)


def _add_command(
    parser: _Parser, command: Command, fill: Callable[[_Parser, Command], None]
) -> None:
    parser.add_word(
        command.name.rpartition(" ")[2],
        command.help,
        lambda made: fill(made, command),
        aliases=command.aliases,
    )


def _fill(parser: _Parser, command: Command) -> None:
    """Let a command's parser take its options, and those that commands share."""
    _add_options(parser, command.options)
    if " " in command.name:
        parser.set_defaults(command=command.name)
    if command.name == "invoke":
        _add_remote(parser)
    _add_shared(parser, [None, *(need for need in Needs if need in command.needs)])


def _add_remote(invoke: _Parser) -> None:
    """Let `invoke` take every command that the Lambda serves, each with its own options."""
    invoke.add_argument(
        "--option", action="append", default=[], metavar="NAME[=VALUE]",
        help="an option of that command, by its name in the event",
    )  # fmt: skip
    schema = next(option for option in SHARED[Needs.DATABASE] if option.name == "schema")
    _add(invoke, invoke, schema)

    def fill(parser: _Parser, command: Command) -> None:
        _add_options(parser, command.options)
        _add_shared(parser, [None])
        if Needs.DATABASE in command.needs:
            _add(parser, parser, schema)

    invoke.add_words("invoked")
    for command in COMMANDS.values():
        if command.right:
            _add_command(invoke, command, fill)


def _add_options(parser: _Parser, options: Iterable[Option]) -> None:
    groups: dict[str, Any] = {}
    for option in options:
        to: Any = parser
        if option.one_of:
            if option.one_of not in groups:
                groups[option.one_of] = parser.add_mutually_exclusive_group()
            to = groups[option.one_of]
        _add(parser, to, option)


def _add_shared(parser: _Parser, needs: Iterable[Needs | None]) -> None:
    """Add the options that may stand before or after the command."""
    for need in needs:
        group = parser.add_argument_group(need.value if need else "output")
        for option in SHARED[need]:
            _add(parser, group, option)


def _add(parser: _Parser, to: Any, option: Option) -> None:
    # What is left out leaves nothing behind, so that the same option may stand in two places.
    # What is required may be set elsewhere: the command itself looks.
    said = option.help.replace("%", "%%")  # argparse fills it in
    settings: dict[str, Any] = {"help": said, "default": argparse.SUPPRESS}
    if option.kind is bool:
        settings["action"] = "store_true"
    else:
        settings |= {"type": option.kind, "metavar": option.metavar}
        if option.choices:
            settings |= {"choices": option.choices}
    if option.positional:
        to.add_argument(option.name, **{**settings, "default": None})
        return
    flags = [option.short, option.flag] if option.short else [option.flag]
    added = to.add_argument(*flags, dest=option.name, **settings)
    if option.rare:
        parser.rare.append((added, said))
        added.help = argparse.SUPPRESS
