"""What options are when the command line does not say: environment first, then a file.

A setting's key is its option's flag without the dashes, below the command's name for an option of
one command: `lock-timeout`, `migrate.on-drift`. Its variable is that key in capitals behind
`SCHEMA_MIGRATIONS_`. The Lambda reads neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner.commands.command import Command, Option
from runner.commands.table import COMMANDS, SHARED
from runner.errors import ConfigurationError

PREFIX = "SCHEMA_MIGRATIONS_"
_OWN, _PROJECT, _TABLE = "runner.toml", "pyproject.toml", "schema-migrations"
_WORDS = {"true": True, "1": True, "false": False, "0": False}
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class Setting(NamedTuple):
    """An option that can be set from outside the command line; `command`: the one that has it."""

    option: Option
    command: Command | None = None

    @property
    def key(self) -> str:
        """Its name in a file."""
        own = self.option.name.replace("_", "-")
        return f"{self.command.name.replace(' ', '-')}.{own}" if self.command else own

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.key.replace("-", "_").replace(".", "_").upper()


class Settings(NamedTuple):
    """The values that were set: those that commands share, and each command's own."""

    shared: dict[str, Any]
    own: dict[str, dict[str, Any]]

    def completed(self, command: Command, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a command's options as given, and what is set where they say nothing.

        What is given leaves no room for a setting that it excludes.
        """
        chosen = {option.one_of for option in command.options if option.name in given} - {None}
        room = {option.name for option in command.options if option.one_of not in chosen}
        found = self.own.get(command.name, {})
        return {name: found[name] for name in found if name in room} | dict(given)


def every() -> Iterator[Setting]:
    """Give each option that can be set: all but those that have no flag."""
    for options in SHARED.values():
        yield from map(Setting, options)
    for command in COMMANDS.values():
        for option in command.options:
            if not option.positional:
                yield Setting(option, command)


def read(environ: Mapping[str, str], folder: Path) -> Settings:
    """Return what the environment sets, and what the folder's file does where that says nothing.

    Raises:
        ConfigurationError: a name is unknown or a value not what its option takes; it names the
            variable, or file and key, and what is allowed there.
    """
    found = Settings({}, {})
    file, values = _of_file(folder)
    for setting, value in values:
        _put(found, setting, _checked(setting, value, f"{file}: {setting.key}"))
    for setting, text in _of_environment(environ):
        value = _typed(setting.option, text)
        _put(found, setting, _checked(setting, value, setting.variable))
    return found


def _put(found: Settings, setting: Setting, value: Any) -> None:
    own = found.own.setdefault(setting.command.name, {}) if setting.command else found.shared
    own.pop(setting.option.name, None)
    if value is not False:  # a switch that is off is as one that nobody named
        own[setting.option.name] = value


def _checked(setting: Setting, value: Any, where: str) -> Any:
    """Return a value as the command line would give it, once its option has taken it."""
    option = setting.option
    value = float(value) if option.kind is float and type(value) is int else value
    if type(value) is not option.kind:
        raise ConfigurationError(f"{where} is {_KINDS[option.kind]}, not {value!r}")
    try:
        option.value(value)
    except ConfigurationError as error:
        said = error.message.removeprefix(option.flag)
        raise ConfigurationError(where + said, fix=error.fix) from error
    return value


def _of_environment(environ: Mapping[str, str]) -> Iterator[tuple[Setting, str]]:
    """Give the variables that are set; an empty one is not, as libpq has it."""
    named = {name: text for name, text in environ.items() if text and name.startswith(PREFIX)}
    known = {setting.variable: setting for setting in every()} if named else {}
    for name, text in named.items():
        if name not in known:
            raise _unknown(f"{name}, in the environment, is no setting", name, known)
        yield known[name], text


def _typed(option: Option, text: str) -> Any:
    """Return a variable's text as its option's kind, or as it is where it is none."""
    if option.kind is bool:
        return _WORDS.get(text.lower(), text)
    try:
        return option.kind(text)
    except ValueError:
        return text


def _of_file(folder: Path) -> tuple[str, list[tuple[Setting, Any]]]:
    """Return the name of the settings file and what it sets; nothing where there is none."""
    tables = {}
    for name in (_OWN, _PROJECT):
        table = _table(folder / name)
        if table is not None:
            tables[name] = table
    if len(tables) > 1:
        raise ConfigurationError(
            f"{_OWN} and [tool.{_TABLE}] in {_PROJECT} both have settings", fix="keep one of them"
        )
    for name, table in tables.items():
        return name, list(_set(name, table))
    return "", []


def _table(path: Path) -> Any:
    """Return the settings of a file, None where it is not there or has none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name} cannot be read: {error}") from error
    if path.name == _PROJECT and _TABLE not in text:
        return None
    import tomllib  # noqa: PLC0415 - only where there is a file

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path.name} is not TOML: {error}") from error
    return found if path.name == _OWN else found.get("tool", {}).get(_TABLE)


def _set(file: str, table: Any) -> Iterator[tuple[Setting, Any]]:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{file}: tool.{_TABLE} is a table, not {table!r}")
    known = {setting.key: setting for setting in every()}
    for key, value in _flat(table):
        setting = known.get(key)
        if setting is None:
            lasting = [key for key, setting in known.items() if not setting.option.once]
            raise _unknown(f"{file}: {key} is no setting", key, lasting)
        if setting.option.once:
            raise ConfigurationError(
                f"{file}: {key} belongs to one call, not into a file",
                fix=f"give {setting.option.flag}, or set {setting.variable}",
            )
        yield setting, value


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give the keys of a table and of the commands' tables in it."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value


def _unknown(message: str, name: str, known: Iterable[str]) -> ConfigurationError:
    from difflib import get_close_matches  # noqa: PLC0415 - of a mistake only

    near = get_close_matches(name, list(known), n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return ConfigurationError(
        f"{message}{meant}",
        fix="docs/reference/settings.md lists key and variable of each option",
    )
