"""The fingerprint against pg_dump: another dump is another fingerprint, and the same is the same.

One database is walked through the values of many properties, in an order drawn from a seed.
"""

import contextlib
import itertools
import os
import random
import subprocess
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from runner.database import catalog
from runner.embedded import embedded_bin_dir
from runner.history.table import OURS
from tests.runner.project import Project

BASE = """
    do $$ begin create role dumped_a; exception when duplicate_object then null; end $$;
    do $$ begin create role dumped_b; exception when duplicate_object then null; end $$;
    create table t (id int generated always as identity constraint t_is primary key, a text,
                    b int not null, c text collate "C", constraint t_above check (b > 0));
    create unique index t_b on t (b, (b + 1));
    create table u (id int constraint u_to references t, n int);
    create table parent (n int); create table child (n int);
    create table parts (n int) partition by range (n);
    create table part (n int);
    create view v as select a, b from t;
    create materialized view m as select b from t;
    create sequence s;
    create function f(x int default 1) returns setof int language sql as 'select 1';
    create procedure p(x int) language sql as 'select 1';
    create function touch() returns trigger language plpgsql as 'begin return new; end';
    create trigger tr before insert on t for each row execute function touch();
    create rule r as on delete to t do instead nothing;
    create policy own on t;
    create type comp as (x int, y text);
    create type mood as enum ('a', 'b');
    create domain d as int;
    create aggregate agg (int) (sfunc = int4pl, stype = int);
    create operator @#@ (leftarg = int, rightarg = int, function = int4eq);
    create statistics st on a, b from t;
    create collation co (locale = 'C');
    create publication pub for table t;
    create function et() returns event_trigger language plpgsql as 'begin end';
    create event trigger ev on sql_drop execute function et();
    create foreign data wrapper w;
    create server sv foreign data wrapper w;
    create user mapping for dumped_a server sv;
    create foreign table ft (n int) server sv;
    create text search configuration ts (copy = simple);
    create text search dictionary di (template = simple);
    create schema sc;
"""

_SOME = 25  # properties that a run of the tests walks through; `make torture` takes them all
_BACK = 0.7  # how likely one that was changed is taken back before the next


class Walked:
    """A database, and what was seen of it at each place of a walk."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[tuple[str, str, str]] = []

    def look(self, place: str) -> None:
        """Keep the dump and the fingerprint of a place."""
        with contextlib.closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            found = catalog.read(connection, ignored=OURS).fingerprint
        dump = subprocess.run(
            [embedded_bin_dir() / "pg_dump", "--schema-only", "--create", "-d", self.url],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        lines = [line for line in dump.splitlines() if "restrict" not in line.split(" ")[0]]
        self.seen.append((place, "\n".join(lines), found))

    def apart(self) -> list[str]:
        """Return the pairs of places that one of the two tells apart and the other does not."""
        return [
            f"{one}, {other}: {'dumps' if found == again else 'fingerprints'} differ alone"
            for (one, dump, found), (other, later, again) in itertools.combinations(self.seen, 2)
            if (dump == later) != (found == again)
        ]


@pytest.fixture
def walked(project: Project) -> Walked:
    """Give a database with an object of each kind."""
    project.query(BASE)
    return Walked(project.url)


def properties(database: str) -> list[list[str]]:
    """Return the values of each property, the first of them as BASE leaves it."""
    text = Path(__file__).with_name("properties.sql").read_text().replace("{}", database)
    blocks = (block.split("\n") for block in text.strip().split("\n\n")[1:])
    return [[line for line in block if not line.startswith("--")] for block in blocks]


def test_fingerprint_tells_apart_what_pg_dump_does(walked: Walked, project: Project) -> None:
    """Properties come and go one by one; what is back where it was is the same again."""
    drawn = random.Random(12)
    blocks = properties(parse_dsn(project.url)["dbname"])
    some = len(blocks) if os.environ.get("TEST_PROPERTIES") == "all" else _SOME
    walked.look("at first")
    away: list[str] = []
    for at_first, *others in drawn.sample(blocks, some):
        for sql in others:
            project.query(sql)
            walked.look(sql)
        away.append(at_first)
        if drawn.random() < _BACK:
            project.query(away.pop(drawn.randrange(len(away))))
    for sql in drawn.sample(away, len(away)):
        project.query(sql)
    walked.look("at last")
    project.query(blocks[0][1])
    project.query(blocks[0][0])
    walked.look("again")
    assert walked.apart() == []
    assert walked.seen[-2][1] == walked.seen[-1][1], "nothing was the same twice"
