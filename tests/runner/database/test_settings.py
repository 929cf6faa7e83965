"""No setting that a role can carry changes what a run reads, does or says."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from tests.runner.project import Project

Values = Mapping[str, str]

# Texts say nothing of the values they take; these would change what is read. A search_path is what
# files run with.
TEXTS = {
    "client_encoding": ["latin1"],
    "datestyle": ["German", "SQL, DMY"],
    "default_text_search_config": ["simple"],
    "restrict_nonsystem_relation_kind": ["view, foreign-table"],
    "timezone": ["Asia/Kathmandu", "America/St_Johns"],
}
# What a role asks for by these is refused by its name, or means the server's end.
REFUSED = {"default_transaction_read_only": "on", "session_preload_libraries": "x"}
# Milliseconds: below, the server ends a session that has just logged in.
SHORTEST = 1000
TIME_LIMITS = "timeout"
FILES = {
    "V1__kinds.sql": """
        create table kinds (
            id bigint generated always as identity primary key, at timestamptz default '2026-07-01',
            took interval default '1 day 2:03', share double precision default 0.1 + 0.2,
            "Select" bytea default '\\\\x00ff', names text[] default '{a,NULL}', x xml, n int[]
        );
        alter table kinds enable row level security;
        create policy own on kinds using (at < '2026-01-01' and share > 0.1::real);
        create function f(a int default 1) returns text language plpgsql as
            $$ begin return 'it''s \\\\ ' || a; end $$;
        create view v as select "Select", took + interval '1 month' as later from kinds;
        insert into kinds (share) values (1e300)
    """,
    "V2__index.sql": "create index concurrently i on kinds (share) where took > '1 day'",
    "R__view.sql": "create or replace view w as select date '2026-02-01' as day",
}


def values(cursor: "psycopg2.extensions.cursor") -> dict[str, list[str]]:
    """Return the settings that a role can carry, each with some of its values."""
    cursor.execute(
        "select lower(name), vartype, min_val, max_val, enumvals, setting, unit from pg_settings"
        " where context in ('user', 'superuser') and name not like 'transaction\\_%'"
        " or name = 'transaction_timeout' order by 1"
    )
    found: dict[str, list[str]] = {}
    for name, kind, least, most, names, now, unit in cursor.fetchall():
        if name.endswith(TIME_LIMITS) and unit == "ms":
            found[name] = [str(SHORTEST)]
        elif kind == "bool":
            found[name] = ["off" if now == "on" else "on"]
        elif kind == "enum":
            found[name] = [value for value in names if value != now]
        elif kind in {"integer", "real"}:
            found[name] = [value for value in (least, most) if value != now]
        elif name in TEXTS:
            found[name] = TEXTS[name]
    return {
        name: [each for each in some if takes(cursor, name, each)] for name, some in found.items()
    }


def takes(cursor: "psycopg2.extensions.cursor", name: str, value: str) -> bool:
    """Return whether this machine's server knows a value that it lists."""
    try:
        cursor.execute(f"begin; set local {name} = '{value}'; rollback")
    except psycopg2.Error:
        cursor.execute("rollback")
        return False
    return True


class Swept:
    """A database that one role's settings must not change, and what is to be seen of it."""

    def __init__(self, project: Project, login: str) -> None:
        self._project = project
        self._administrator = project.url
        self._login = login
        self.undisturbed = self.run({})

    def run(self, carried: Values) -> list[Any]:
        """Return what commands say while the role carries some settings."""
        self._carry(carried)
        self._project.query("drop schema public cascade; create schema public authorization swept")
        self._project.url = self._login
        said = [self._said(command) for command in ("plan", "migrate", "status")]
        self._carry({})
        said.append(self._said("status", "--drift"))
        self._carry(carried)
        said.append(self._said("status", "--drift"))
        self._project.url = self._administrator
        return said

    def _carry(self, carried: Values) -> None:
        what = ["reset all", *(f"set {name} = '{value}'" for name, value in carried.items())]
        with psycopg2.connect(self._administrator) as connection:
            connection.cursor().execute("; ".join(f"alter role swept {each}" for each in what))
        connection.close()

    def _said(self, *command: str) -> Any:
        document = self._project.run(*command)
        error = document["error"] and document["error"]["message"]
        done = [(entry["file"], entry.get("dropped")) for entry in document["applied"]]
        return document["outcome"], error, document["warnings"], done

    def wrong(self, carried: Values) -> Iterator[str]:
        """Give each setting that changes something, by halves."""
        if self.run(carried) == self.undisturbed:
            return
        items = list(carried.items())
        if len(items) == 1:
            yield f"{items[0]}: {self.run(carried)}"
        for half in (items[: len(items) // 2], items[len(items) // 2 :]):
            if len(items) > 1:
                yield from self.wrong(dict(half))


@pytest.fixture
def swept(project: Project) -> Iterator[Swept]:
    """Give a database whose owner's settings are swept."""
    for name, text in FILES.items():
        project.file(name, text)
    project.query("create role swept login password 's'")
    yield Swept(project, make_dsn(project.url, user="swept", password="s"))
    project.query("drop owned by swept cascade; drop role swept")


def test_no_setting_of_a_role_changes_a_run(swept: Swept, project: Project) -> None:
    with contextlib.closing(psycopg2.connect(project.url)) as connection:
        connection.autocommit = True
        found = values(connection.cursor())
    assert len(found) > 150
    wrong = []
    for turn in itertools.count():
        carried = {name: each[turn] for name, each in found.items() if turn < len(each)}
        carried = {name: value for name, value in carried.items() if REFUSED.get(name) != value}
        if not carried:
            break
        wrong += list(swept.wrong(carried))
    assert wrong == []
