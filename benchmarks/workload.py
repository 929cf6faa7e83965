"""The SQL that every tool runs: the same statements, in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TABLE = """create table item_{n} (
    id bigint generated always as identity primary key,
    name text not null,
    price numeric(10, 2) not null check (price >= 0),
    created_at timestamptz not null default now()
);
create index item_{n}_name on item_{n} (name);
"""
_COLUMN = """alter table item_{of} add column note_{n} text;
comment on column item_{of}.note_{n} is 'what a clerk says; for people only';
"""
_ROW = "insert into item_big (id, name, note) values ({n}, 'O''Brien {n}', 'a; with -- marks');\n"
_LONG = "({n}, 'customer {n}', '" + "some words of a text; " * 40 + "')"


class Script(NamedTuple):
    """One migration: its number from 1, and the SQL that does and undoes it."""

    number: int
    up: str
    down: str


def small(count: int) -> list[Script]:
    """Return small migrations: of five one makes a table, the others add a column to it."""
    return [_small(number) for number in range(1, count + 1)]


def _small(number: int) -> Script:
    of = number - (number - 1) % 5
    if number == of:
        return Script(number, _TABLE.format(n=number), f"drop table item_{number};\n")
    down = f"alter table item_{of} drop column note_{number};\n"
    return Script(number, _COLUMN.format(n=number, of=of), down)


def rows(megabytes: int) -> Script:
    """Return a migration of INSERTs, a row each, of about so many megabytes."""
    return _big("".join(_until(megabytes, _ROW, "")))


def one(megabytes: int) -> Script:
    """Return a migration of one INSERT with all rows, of about so many megabytes."""
    values = "".join(_until(megabytes, _LONG, ",\n"))
    return _big(f"insert into item_big (id, name, note) values\n{values};\n")


def _big(insert: str) -> Script:
    table = "create table item_big (id bigint, name text, note text);\n"
    return Script(1, table + insert, "drop table item_big;\n")


def _until(megabytes: int, line: str, between: str) -> Iterator[str]:
    """Yield lines until they are so many megabytes."""
    size = number = 0
    while size < megabytes * 1_000_000:
        number += 1
        text = (between if number > 1 else "") + line.format(n=number)
        size += len(text)
        yield text


def write(folder: Path, scripts: list[Script], *, undo: bool = True) -> None:
    """Write migrations as our runner and the floors read them."""
    folder.mkdir(parents=True)
    for script in scripts:
        (folder / f"V{script.number:06}__item.sql").write_text(script.up)
        if undo:
            (folder / f"U{script.number:06}__item.sql").write_text(script.down)
