"""Which targets a fleet has: from a file or from a query, checked before anything is done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from runner.database.connection import Target, target
from runner.database.session import Session
from runner.errors import ConfigurationError
from runner.report.wording import and_more
from runner.shape import misnamed

# What a target may say of itself, as libpq calls it; a schema is one of the database's.
_WHERE = ("url", "service", "host", "port", "dbname", "user")
_OF_FILE = ("name", "schema", *_WHERE)
# Rows may be somebody's who may not say where our login goes.
_OF_QUERY = ("name", "schema", "dbname")
# Of a state machine: a function knows its database, and another account's is called by a role.
_OF_MACHINE = ("name", "schema", "function", "role")
_ARNS = {
    "function": re.compile(r"arn:aws[\w-]*:lambda:[\w-]+:\d{12}:function:[\w-]{1,64}").fullmatch,
    "role": re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}").fullmatch,
}
_SECRETS = ("password", "passfile", "sslpassword")
_LONGEST = 200  # characters of a name
_SHOWN = 20  # problems that are listed

_between = re.compile(r"[\s,]*")


class Item(NamedTuple):
    """One target of a fleet: how it is called, its schema, and where it is, as libpq has it."""

    name: str
    schema: str | None
    where: Mapping[str, str]

    def is_whole(self) -> bool:
        """Return whether it says itself which database it is."""
        return bool(self.where)

    def text(self, url: str | None) -> str | None:
        """Return where it is, as libpq reads it; what it says counts more than a common URL."""
        where = dict(self.where)
        common = where.pop("url", url)
        return make_dsn(common, **where) if where else common

    def target(self, url: str | None, schema: str | None, extensions: str | None) -> Target:
        """Return the target.

        Parameters:
            url, schema: what those have in common that do not say it themselves.
            extensions: the schema in which files find what extensions made.

        Raises:
            ConfigurationError: nothing says which database is meant.
        """
        found = target(self.text(url))
        return found._replace(schema=self.schema or schema, extensions=extensions)


class Entry(NamedTuple):
    """One entry of a list of targets, as it was read; `place` is its line or row, for a person."""

    place: str
    value: object


def of_file(path: Path, *, machine: bool = False) -> list[Item]:
    """Return the targets of a file: a JSON array of objects, or an object a line.

    Parameters:
        machine: they are for a state machine, and may name a function and a role.

    Raises:
        ConfigurationError: it cannot be read, or holds no list of targets; every problem is named
            with its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8: {error}") from error
    fields = _OF_MACHINE if machine else _OF_FILE
    return _checked(str(path), _entries(str(path), text), fields)


def of_event(value: object) -> Item:
    """Return the target that an event names.

    Raises:
        ConfigurationError: it is none.
    """
    return _item(value, _OF_MACHINE)


def entry(item: Item) -> dict[str, str]:
    """Return a target as a list has it."""
    schema = {"schema": item.schema} if item.schema else {}
    return {"name": item.name, **schema, **item.where}


def of_query(
    common: Target, sql: str, *, run_id: str, wait: float, machine: bool = False
) -> list[Item]:
    """Return the targets that a query lists, in a session that can only read.

    Parameters:
        machine: they are for a state machine, whose function knows its database.

    Raises:
        ConfigurationError: it fails, or lists no targets; every problem is named with its row.
        Unreachable: the database does not answer.
    """
    session = Session(common, run_id=run_id, wait=wait, read_only=True)
    with closing(session), session.connection.cursor() as cursor:
        try:
            cursor.execute(f"begin read only; select {session.files_path()}")
            cursor.execute(sql)
            names = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall() if names else []
        except psycopg2.Error as error:
            raise ConfigurationError(f"the query of targets fails: {str(error).strip()}") from error
    entries = (
        Entry(f"row {number}", dict(_given(names, row))) for number, row in enumerate(rows, 1)
    )
    return _checked("the query", entries, ("name", "schema") if machine else _OF_QUERY)


def _given(names: Iterable[str], row: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for name, value in zip(names, row, strict=True):
        if value is not None:
            yield name, str(value)


def _entries(path: str, text: str) -> Iterator[Entry]:
    """Give the values of a JSON array, or of JSON lines, each with its line."""
    decoder, array = json.JSONDecoder(), text.lstrip().startswith("[")
    line, seen = 1, 0
    try:
        if array:
            json.loads(text)  # so that only its commas and its end are passed over below
        at, end = text.find("[") + 1 if array else 0, len(text.rstrip()) - array
        while (at := _between.match(text, at).end()) < end:  # type: ignore[union-attr] # also nothing
            line, seen = line + text.count("\n", seen, at), at
            value, at = decoder.raw_decode(text, at)
            yield Entry(f"line {line}", value)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no JSON, from line {line} on: {error}") from error


def _checked(source: str, entries: Iterable[Entry], fields: Sequence[str]) -> list[Item]:
    """Return the targets of a list, each called and there once.

    Raises:
        ConfigurationError: with every problem.
    """
    items: list[Item] = []
    problems: list[str] = []
    names: dict[str, str] = {}
    places: dict[tuple[Any, ...], str] = {}
    for place, value in entries:
        try:
            item = _item(value, fields)
        except ConfigurationError as error:
            problems.append(f"{place}: {error.message}")
            continue
        same = (item.schema, *sorted(item.where.items()))
        if first := names.get(item.name):
            problems.append(f"{place}: {item.name} is on {first} already")
        elif same in places:
            problems.append(f"{place}: {item.name} is the same target as {places[same]}")
        names[item.name], places[same] = place, f"{item.name} on {place}"
        items.append(item)
    if problems:
        raise ConfigurationError(
            f"{source} is no list of targets",
            details=tuple(and_more(problems[:_SHOWN], len(problems[_SHOWN:]), "problems")),
            fix=f"nothing was done; a target has of {', '.join(fields)}",
        )
    if not items:
        raise ConfigurationError(f"{source} lists no targets", fix="nothing was done")
    return items


def _item(value: object, fields: Sequence[str]) -> Item:
    if not isinstance(value, dict):
        raise ConfigurationError("not an object")
    for name, text in value.items():
        if name in _SECRETS:
            raise ConfigurationError(
                f"{name} has no place here: ~/.pgpass, a service or a secret keeps it"
            )
        if name not in fields:
            raise ConfigurationError(f"unknown: {name[:_LONGEST]!r}")
        if type(text) not in {str, int} or not str(text).isprintable() or text == "":
            raise ConfigurationError(f"{name} is no printable text")
    where = {name: str(value[name]) for name in fields if name in value}
    schema, called = where.pop("schema", None), where.pop("name", None)
    _refuse_password(where.get("url"))
    _refuse_no_arn(where)
    if problem := schema and misnamed(schema):
        raise ConfigurationError(problem)
    if schema is None and not where:
        kind = "function" if "function" in fields else "database"
        raise ConfigurationError(f"it says neither a schema nor a {kind}")
    called = called or schema or where.get("dbname") or where.get("service")
    if called is None or len(called) > _LONGEST:
        raise ConfigurationError(f"it needs a name of at most {_LONGEST} characters")
    return Item(called, schema, where)


def _refuse_no_arn(where: Mapping[str, str]) -> None:
    for name, fits in _ARNS.items():
        if name in where and not fits(where[name]):
            raise ConfigurationError(
                f"{name} is no ARN of a {name}{', without an alias' if name == 'function' else ''}"
            )
    if "role" in where and "function" not in where:
        raise ConfigurationError("it has a role, and no function to call by it")


def _refuse_password(url: str | None) -> None:
    try:
        found = parse_dsn(url) if url else {}
    except psycopg2.ProgrammingError:  # it may quote the text, password and all
        raise ConfigurationError("its url cannot be read") from None
    if secret := next((name for name in _SECRETS if name in found), None):
        raise ConfigurationError(
            f"{secret} has no place in a url: ~/.pgpass, a service or a secret keeps it"
        )
