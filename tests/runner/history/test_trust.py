"""Somebody else's objects run no code as us, and what they say is not believed."""

import contextlib
import itertools
from collections.abc import Iterator

import psycopg2
import pytest

from runner.history.table import LOG, RUN, SNAPSHOT, TABLE, create
from tests.runner.project import Project

COMMANDS = [
    ("migrate",), ("plan",), ("status", "--drift"), ("history",), ("repair",),
    ("rollback", "--yes", "--steps", "1"), ("validate", "--against-database"),
    ("baseline", "--yes", "9"), ("adopt", "flyway"),
]  # fmt: skip
_numbers = itertools.count(1)


class Neighbour:
    """A login that may create objects in public, beside the one that migrates."""

    def __init__(self, project: Project, name: str) -> None:
        self.project = project
        self.name = name
        self._url = project.url

    def query(self, sql: str) -> None:
        with contextlib.closing(psycopg2.connect(self._url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"set session authorization {self.name}; {sql}")

    def loot(self) -> list[str]:
        """Return what of the neighbour's was run by others."""
        found = self.project.query(
            f"select distinct what from loot where who <> '{self.name}' order by 1"
        )
        return [what for (what,) in found]


@pytest.fixture
def neighbour(project: Project) -> Iterator[Neighbour]:
    """Give a login whose functions write down who runs them."""
    name = f"neighbour_{next(_numbers)}"
    project.query(
        f"create role {name}; grant create on schema public to {name};"
        "create table loot (what text, who text); grant all on loot to public"
    )
    found = Neighbour(project, name)
    found.query(
        "create function loot(what text) returns void language plpgsql as $$ begin"
        " insert into public.loot values (what, current_user);"
        " exception when read_only_sql_transaction then raise 'caught: %', what; end $$;"
        "create function fires() returns trigger language plpgsql as"
        " $$ begin perform public.loot('trigger'); return new; end $$"
    )
    yield found
    project.query(f"drop owned by {name} cascade; drop role {name}")


def write(project: Project) -> None:
    project.file("V1__a.sql", "create table t (n int)")
    project.file("U1__a.sql", "drop table t")
    project.file("V2__b.sql", "alter table t add m int")
    project.file("U2__b.sql", "alter table t drop m")
    project.file("V3__c.sql", "create index concurrently i on t (n)")
    project.file("U3__c.sql", "drop index concurrently i")
    project.file("V4__d.sql", "do $$ begin execute 'alter table t add o text'; end $$")
    project.file("U4__d.sql", "alter table t drop o")


# ---- what fits better than pg_catalog's


def _overloads(project: Project) -> list[str]:
    """Return SQL that makes, in public, what would be preferred to much that pg_catalog has.

    Any call or operator in statements of ours whose arguments are not exactly those of one in
    pg_catalog could be taken over; so could all, where a role's path has pg_catalog last.
    """
    functions = project.query("""
        select distinct p.proname::text, format_type(a.t, null), format_type(p.prorettype, null)
        from pg_proc p, lateral (select p.proargtypes[0] as t) a
        where p.pronargs = 1 and p.prokind = 'f' and not p.proretset
          and p.proname in ('format', 'quote_ident', 'coalesce', 'max', 'length', 'lower',
                            'to_regclass', 'array_to_string', 'pg_get_userbyid', 'abs', 'age')
          and format_type(p.prorettype, null) !~ 'any|internal|cstring'
          and format_type(a.t, null) !~ 'any|internal|cstring'
    """)
    made = [
        f"create function public.{name}(a {type_}) returns {result} language plpgsql as"
        f" $$ begin perform public.loot('{name}'); return pg_catalog.{name}(a); end $$"
        for name, type_, result in functions
    ]
    pairs = [
        ("oid", "int"), ("oid", "oid"), ("text", "text"), ("name", "name"), ("name", "text"),
        ("bigint", "int"), ("bigint", "bigint"), ("int", "int"), ("numeric", "int"),
        ("boolean", "boolean"), ("timestamptz", "timestamptz"), ('"char"', '"char"'),
    ]  # fmt: skip
    for number, (left, right) in enumerate(pairs):
        for sign, word in (("=", "eq"), ("<>", "ne"), (">", "gt"), ("-", "minus")):
            result = "boolean" if sign != "-" else "numeric"
            value = "true" if sign != "-" else "0"
            made.append(
                f"create function public.{word}{number}(a {left}, b {right}) returns {result}"
                f" language plpgsql as $$ begin perform public.loot('{sign} {left} {right}');"
                f" return {value}; end $$;"
                f"create operator public.{sign} (leftarg = {left}, rightarg = {right},"
                f" function = public.{word}{number})"
            )
    return made


@pytest.mark.parametrize("path", ["as it is", "pg_catalog last"])
def test_no_function_or_operator_of_others_runs_in_statements_of_ours(
    project: Project, neighbour: Neighbour, path: str
) -> None:
    for sql in _overloads(project):
        neighbour.query(sql)
    if path == "pg_catalog last":
        name = project.query("select pg_catalog.current_database()")[0][0]
        project.query(f"alter database {name} set search_path = public, pg_catalog")
    write(project)
    for command in (
        ("plan",), ("migrate",), ("migrate",), ("status", "--drift"), ("history",), ("repair",),
        ("rollback", "--yes", "--steps", "2"), ("validate", "--against-database"), ("migrate",),
        ("rollback", "--yes", "--to", "0"),
    ):  # fmt: skip
        document = project.run(*command)
        assert document["error"] is None, (command, document["error"])
    project.query("alter database " + project.url.rpartition("/")[2] + " reset search_path")
    assert neighbour.loot() == []


# ---- a history that was made beforehand

PLANTED = {
    "log with a trigger": (
        create(LOG, "public") + f"; create trigger t before insert on public.{LOG} for each row"
        " execute function fires()"
    ),
    "history with a trigger": (
        create(TABLE, "public") + f"; create trigger t before insert on public.{TABLE} for each row"
        " execute function fires()"
    ),
    "history with a rule": (
        create(TABLE, "public") + f"; create rule r as on insert to public.{TABLE} do also"
        " select public.loot('rule')"
    ),
    "history with a policy": (
        create(TABLE, "public") + f"; alter table public.{TABLE} enable row level security;"
        f" create policy p on public.{TABLE} using (public.loot('policy') is null)"
    ),
    "history with a default": (
        create(TABLE, "public") + f"; create function evil() returns text language sql as $$ select"
        f" public.loot('default')::text $$; alter table public.{TABLE} alter applied_by set default"
        " evil()"
    ),
    "snapshot": create(SNAPSHOT, "public"),
    "runs": create(RUN, "public"),
    "view": (
        f"create view public.{TABLE} as select '1'::text as version, 'versioned'::text as kind,"
        " 'applied'::text as state, public.loot('view')::text as description"
    ),
    "believable": (
        create(TABLE, "public")
        + f"; insert into public.{TABLE} (version, kind, state, description, run_id)"
        " values ('1', 'versioned', 'applied', 'a', 'r')"
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_history_that_somebody_else_made_is_refused_before_it_is_read(
    project: Project, neighbour: Neighbour, planted: str
) -> None:
    neighbour.query(PLANTED[planted])
    project.query(f"grant all on all tables in schema public to {neighbour.name}")
    write(project)
    for command in COMMANDS:
        if command == ("validate", "--against-database") or planted in {"snapshot", "runs"}:
            continue
        document = project.run(*command)
        assert (document["exit_code"], document["applied"]) == (6, []), command
        assert neighbour.name in document["error"]["message"]
    assert project.run("migrate")["exit_code"] == 6
    assert neighbour.loot() == []
    assert project.query("select to_regclass('t')") == [(None,)]


def test_trigger_of_somebody_who_may_make_them_on_our_tables_is_refused(
    project: Project, neighbour: Neighbour
) -> None:
    write(project)
    project.run("migrate", "--target", "1")
    project.query(f"grant trigger on public.{TABLE} to {neighbour.name}")
    neighbour.query(
        f"create trigger t before insert on public.{TABLE} for each row execute function fires()"
    )
    document = project.run("migrate")
    assert (document["exit_code"], neighbour.loot()) == (6, [])
    assert "others' triggers: t" in document["error"]["message"]


@pytest.mark.parametrize("tool", ["flyway", "golang-migrate", "dbmate", "knex", "alembic"])
def test_history_of_another_tool_that_somebody_else_made_is_not_read(
    project: Project, neighbour: Neighbour, tool: str
) -> None:
    name = {
        "flyway": "flyway_schema_history", "knex": "knex_migrations", "alembic": "alembic_version",
    }.get(tool, "schema_migrations")  # fmt: skip
    neighbour.query(
        f"create view {name} as select public.loot('{tool}')::text as version, 1 as dirty"
    )
    document = project.run("adopt", tool, *(["--at", "1"] if tool == "alembic" else []))
    assert document["exit_code"] in {2, 6}
    assert neighbour.loot() == []


# ---- writes that are swallowed, and what no version of ours has written

SWALLOWED = {
    "trigger": (
        "create function swallow() returns trigger language plpgsql as"
        " $$ begin return null; end $$;"
        "create trigger s before {} on {} for each row execute function swallow()"
    ),
    "rule": "create rule s as on {} to {} do instead nothing",
}


@pytest.mark.parametrize("how", SWALLOWED)
@pytest.mark.parametrize(
    ("what", "table"), [("insert", TABLE), ("insert", LOG), ("update", TABLE), ("delete", TABLE)]
)
def test_what_the_history_does_not_take_is_not_done(
    project: Project, how: str, what: str, table: str
) -> None:
    write(project)
    project.run("migrate", "--target", "2")
    before = project.history()
    project.query(SWALLOWED[how].format(what, table))
    command = ("rollback", "--yes", "--steps", "1") if what == "delete" else ("migrate",)
    document = project.run(*command)
    assert (document["exit_code"] != 0, document["applied"]) == (True, [])
    assert [row for row in project.history() if row[1] == "applied"] == before
    columns = "select count(*) from pg_attribute where attrelid = 't'::regclass and attname = 'm'"
    assert project.query(columns) == [(1,)]


TAMPERED = {
    "unknown state": "update schema_version set state = 'failed'",
    "unknown kind": "update schema_version set kind = 'weird'",
    "no version": "update schema_version set version = 'x; drop table t'",
    "digits without end": "update schema_version set version = repeat('9', 5000)",
    "not canonical": "update schema_version set version = '01.0'",
    "no state": "update schema_version set state = null",
    "no steps": "update schema_version set steps = null",
    "far away": "update schema_version set applied_at = '99999-01-01'",
    **{
        f"in doubt {value}": f"update schema_version set step_in_doubt = '{value}'"
        for value in ('"x"', "[]", "{}", "1", '{"digest": 1}', '{"digest": "x", "text": "t"}',
                      '{"digest": "x", "text": "t", "before": 1, "builds": "ab"}')
    },
    "steps of numbers": "alter table schema_version drop steps, add steps int[]",
    "version of numbers": "alter table schema_version alter version type int using 1",
    "column missing": "alter table schema_version drop run_id",
    "log of another": "drop table schema_version_log; create table schema_version_log (x int)",
    "view": "drop table schema_version_log; create view schema_version_log as select 1 as id",
}  # fmt: skip
LOOSE = (
    "alter table schema_version drop constraint schema_version_state,"
    " drop constraint schema_version_kind, alter state drop not null, alter steps drop not null;"
)


@pytest.mark.parametrize("tampered", TAMPERED)
def test_history_that_no_version_of_ours_wrote_is_refused_and_not_misread(
    project: Project, tampered: str
) -> None:
    project.file("V1__a.sql", "select 1")
    project.run("migrate")
    project.query(LOOSE + TAMPERED[tampered])
    for command in (("migrate",), ("status",), ("plan",)):
        document = project.run(*command)
        assert (document["exit_code"], document["error"]["kind"]) == (6, "validation"), command


# ---- the order of the history


def test_copy_of_a_database_without_its_sequences_keeps_the_order(project: Project) -> None:
    """Logical replication and AWS DMS copy rows, but not the values of sequences."""
    for number in range(1, 5):
        project.file(f"V{number}__t.sql", f"create table t{number} (n int)")
        project.file(f"U{number}__t.sql", f"drop table t{number}")
    project.run("migrate", "--target", "3")
    project.query(
        "alter sequence schema_version_applied_order_seq restart;"
        "alter sequence schema_version_log_id_seq restart"
    )
    assert project.run("migrate")["exit_code"] == 0
    document = project.run("rollback", "--yes", "--steps", "1")
    assert [entry["version"] for entry in document["applied"]] == ["4"]
