"""Folders of migrations, drawn: a few small files of every kind, each of which leaves marks."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

_NO_TRANSACTION = "-- runner: no-transaction\n"
_THINGS = 50  # rows of the table that files work on
_LONG = 40_000  # characters of a file that is no small one any more


class Version(NamedTuple):
    """One version: its files, and how many marks its up file leaves.

    `asks`: a crash in it can leave what only a person can judge. `batched`: what is added to its up
    file is done in each batch.
    """

    number: int
    up: str
    down: str
    marks: int
    asks: bool = False
    batched: bool = False


class Folder(NamedTuple):
    """The files of one project, by their names."""

    versions: tuple[Version, ...]
    files: dict[str, str]

    @property
    def known(self) -> dict[str, Version]:
        """The versions by the names that the history has for them."""
        return {str(version.number): version for version in self.versions}


def name_of(number: int, kind: str = "V") -> str:
    """Return the name of a version's file."""
    return f"{kind}{number}__part.sql"


def draw(chance: random.Random) -> Folder:
    """Return a folder of some of each kind of file, the first of which makes the table of marks."""
    shapes = chance.choices(_SHAPES, k=chance.randint(2, 5))
    versions = [
        Version(
            1,
            "create table mark (version int, part int);\n"
            "create table thing (id int primary key, note text not null default '');\n"
            f"insert into thing select generate_series(1, {_THINGS});\n{_mark(1, 1)}",
            "drop table thing;\ndrop table mark;\n",
            1,
        ),
        *(shape(number, chance) for number, shape in enumerate(shapes, 2)),
    ]
    files = {}
    for version in versions:
        files[name_of(version.number)] = version.up
        files[name_of(version.number, "U")] = version.down
    if chance.random() < 0.5:  # noqa: PLR2004
        files["R__seen.sql"] = "create or replace view seen as select version, part from mark;\n"
        files[name_of(1, "U")] = f"drop view if exists seen;\n{files[name_of(1, 'U')]}"
    return Folder(tuple(versions), files)


def _mark(number: int, part: int) -> str:
    return f"insert into mark values ({number}, {part});\n"


def _unmark(number: int) -> str:
    return f"delete from mark where version = {number};\n"


def _table(number: int, chance: random.Random) -> Version:
    up = f"create table t{number} (id int primary key, a text);\n{_mark(number, 1)}"
    if chance.random() < 0.5:  # noqa: PLR2004
        up += f"create index i{number} on t{number} (a);\n"
    return Version(number, up, f"{_unmark(number)}drop table t{number};\n", 1)


def _rows(number: int, chance: random.Random) -> Version:
    milliseconds = chance.choice((0, 5, 20))
    up = (
        f"{_mark(number, 1)}update thing set note = note || 'x';\n"
        f"select pg_sleep({milliseconds / 1000});\n{_mark(number, 2)}"
        f"alter table thing add column c{number} int default {number};\n"
    )
    down = f"{_unmark(number)}alter table thing drop column c{number};\n"
    return Version(number, up, down, 2)


def _copy(number: int, chance: random.Random) -> Version:
    count = chance.randint(3, 400)
    data = "".join(f"{number}\t{part}\n" for part in range(1, count + 1))
    return Version(number, f"copy mark from stdin;\n{data}\\.\n", _unmark(number), count)


def _long(number: int, chance: random.Random) -> Version:
    count = chance.randint(2, 6)
    filling = f"-- {'x' * 94}\n" * (_LONG // 97 // count)
    up = "".join(f"{_mark(number, part)}{filling}" for part in range(1, count + 1))
    return Version(number, up, _unmark(number), count)


def _code(number: int, _: random.Random) -> Version:
    up = (
        f"create function f{number}() returns trigger language plpgsql as\n"
        "$$ begin new.note := new.note || 'y'; return new; end $$;\n"
        f"create trigger g{number} before update on thing for each row execute function"
        f" f{number}();\n{_mark(number, 1)}"
    )
    return Version(number, up, f"{_unmark(number)}drop function f{number}() cascade;\n", 1)


def _deferred(number: int, _: random.Random) -> Version:
    up = (
        f"create table d{number} (id int primary key, other int references d{number}"
        f" deferrable initially deferred);\ninsert into d{number} values (1, 2);\n"
        f"{_mark(number, 1)}insert into d{number} values (2, null);\n{_mark(number, 2)}"
    )
    return Version(number, up, f"{_unmark(number)}drop table d{number};\n", 2)


def _enum(number: int, _: random.Random) -> Version:
    up = (
        f"{_NO_TRANSACTION}create type e{number} as enum ('a');\n"
        f"alter type e{number} add value 'b';\n{_mark(number, 1)}"
    )
    return Version(number, up, f"{_unmark(number)}drop type e{number};\n", 1)


def _concurrently(number: int, chance: random.Random) -> Version:
    unique = chance.choice(("", "unique "))
    up = (
        f"{_NO_TRANSACTION}{_mark(number, 1)}"
        f"create {unique}index concurrently i{number} on thing (id);\n{_mark(number, 2)}"
    )
    down = f"{_NO_TRANSACTION}drop index concurrently i{number};\n{_unmark(number)}"
    return Version(number, up, down, 2)


def _rebuilt(number: int, _: random.Random) -> Version:
    up = (
        f"{_NO_TRANSACTION}create index concurrently if not exists i{number} on thing (note);\n"
        f"{_mark(number, 1)}reindex table concurrently thing;\n{_mark(number, 2)}"
        f"drop index concurrently i{number};\nvacuum mark;\n{_mark(number, 3)}"
    )
    return Version(number, up, f"{_NO_TRANSACTION}{_unmark(number)}", 3)


def _commits(number: int, _: random.Random) -> Version:
    up = (
        f"{_NO_TRANSACTION}do $$ begin\n{_mark(number, 1)}commit;\n{_mark(number, 2)}commit;\n"
        f"end $$;\n{_mark(number, 3)}"
    )
    return Version(number, up, f"{_NO_TRANSACTION}{_unmark(number)}", 3, asks=True)


def _filled(number: int, chance: random.Random) -> Version:
    head = f"-- runner: batch=thing.id, batch_size={chance.choice((1, 7, 50))}\n"
    ends = "between current_setting('batch.first')::int and current_setting('batch.last')::int"
    up = f"{head}insert into mark select {number}, id from thing where id {ends};\n"
    down = f"{head}delete from mark where version = {number} and part {ends};\n"
    return Version(number, up, down, _THINGS, batched=True)


_SHAPES: tuple[Callable[[int, random.Random], Version], ...] = (
    _table, _table, _table, _rows, _rows, _copy, _long, _code, _deferred, _enum, _concurrently,
    _concurrently, _rebuilt, _commits, _filled, _filled,
)  # fmt: skip
