"""What a plan expects of a statement is what the server then does."""

import pytest

from runner.syntax.locks import is_opaque, locks_of
from runner.syntax.scanner import scan
from tests.runner.project import Project

_TABLES = """
    create table t (id int primary key, a text, b int, check (b > 0) not valid);
    create table u (id int primary key, t int);
    create table p (n int) partition by range (n);
    create table p1 partition of p for values from (0) to (9);
    create table p2 (n int, check (n between 10 and 19));
    create view v as select a from t;
    create materialized view m as select 1 as one;
    create unique index on m (one);
    create function touch() returns trigger language plpgsql as 'begin return new; end';
    create trigger g before update on t for each row execute function touch();
    insert into t values (1, 'x', 1);
"""


@pytest.mark.parametrize(
    "sql",
    [
        "alter table t add c int",
        "alter table t add c int default 7",
        "alter table only t add column if not exists c int default 7",
        "alter table t add c uuid default gen_random_uuid()",
        "alter table t add c bigint generated always as identity",
        "alter table t add c int generated always as (b + 1) stored",
        "alter table t add c timestamptz default now()",
        "alter table t drop a cascade",
        "alter table t alter b type bigint",
        "alter table t alter b set not null, alter b set default 3",
        "alter table t add constraint c check (b > 1) not valid",
        "alter table t add constraint c check (b > -1)",
        "alter table t validate constraint t_b_check",
        "alter table t add unique (b)",
        "alter table u add foreign key (t) references t",
        "alter table u add constraint f foreign key (t) references public.t not valid",
        "alter table u add c int references t",
        "alter table t alter a set statistics 7",
        "alter table t set (fillfactor = 70)",
        "alter table t reset (fillfactor)",
        "alter table t disable trigger g",
        "alter table t enable row level security",
        "alter table t rename a to z",
        "alter table t set unlogged",
        "alter table p attach partition p2 for values from (10) to (20)",
        pytest.param("alter table p detach partition p1", marks=pytest.mark.since(14)),
        "alter view v rename to w",
        "alter materialized view m rename to w",
        "create index on t (b)",
        "create unique index if not exists i on public.t (b)",
        "create table w (t int references t)",
        "create table p3 partition of p for values from (30) to (40)",
        "create trigger h before insert on t for each row execute function touch()",
        "create policy o on t using (true)",
        "create rule r as on delete to t do instead nothing",
        "create or replace view v as select a, b from t",
        "drop table u",
        "drop table if exists u, p cascade",
        "drop trigger g on t",
        "drop materialized view m",
        "truncate t, u",
        "truncate table only u",
        "insert into u values (1)",
        "update t set b = 2 where id = 1",
        "delete from only t where id = 7",
        "lock table t in share mode",
        "lock t, u",
        "comment on table t is 'x'",
        "comment on column t.a is 'x'",
        "refresh materialized view m",
        "refresh materialized view concurrently m",
        "cluster t using t_pkey",
    ],
)
def test_expected_locks_are_those_that_are_taken(project: Project, sql: str) -> None:
    """Each expected lock is traced with its mode; what is traced besides is weaker than ours."""
    project.query(_TABLES)
    project.file("V1__x.sql", sql)
    document = project.run("migrate")
    assert document["outcome"] == "applied", document["error"]
    (entry,) = document["applied"]
    traced = {lock["relation"].removeprefix("public."): lock["mode"] for lock in entry["locks"]}
    expected = {lock.relation.removeprefix("public."): lock for lock in locks_of(next(scan(sql)))}
    assert {name: traced.get(name) for name in expected} == {
        name: lock.mode for name, lock in expected.items()
    }
    harmless = {"AccessShareLock", "RowShareLock"}
    more = {name: mode for name, mode in traced.items() if name not in expected}
    assert set(more.values()) <= harmless | ({"AccessExclusiveLock"} if "cascade" in sql else set())
    rewritten = {name.removeprefix("public.") for name in entry["rewritten"]}
    # TRUNCATE puts an empty file in the table's place, which is no work on its rows.
    written = {name for name, lock in expected.items() if lock.may_rewrite}
    assert rewritten == (set(expected) if sql.startswith("truncate") else written)


_COLUMNS = {
    "a": "varchar(50)", "b": "numeric(10,2)", "c": "timestamp(3)", "d": "text", "e": "char(5)",
    "f": "bit varying(8)", "g": "int", "h": "cidr", "i": "timestamptz",
    "j": "short", "k": "varchar",
}  # fmt: skip
_TYPED = f"""
    create domain short as varchar(9);
    create domain strict as text check (value <> '');
    create sequence s;
    create function fixed() returns int immutable language sql as 'select 1';
    create table t ({", ".join(f"{name} {type_}" for name, type_ in _COLUMNS.items())});
"""
_CHANGES = [
    *(f"alter a type {new}" for new in (
        "varchar(100)", "varchar(50)", "varchar(49)", "character varying", "text", "char(50)",
        "varchar(60) using a", "varchar(60) using a::varchar(60)", "text using lower(a)", "short",
        'varchar(60) collate "C"',
    )),
    *(f"alter b set data type {new}" for new in (
        "numeric(12,2)", "numeric(12,3)", "numeric(9,2)", "numeric", "decimal(12, 2)", "bigint",
    )),
    *(f"alter column c type {new}" for new in (
        "timestamp(6)", "timestamp", "timestamp(1)", "timestamp(3) with time zone", "date",
    )),
    *(f"alter d type {new}" for new in ("varchar", "varchar(9)", "strict", "name")),
    *(f"alter e type {new}" for new in ("char(6)", "char(5)", "text", "varchar(5)")),
    *(f"alter f type {new}" for new in ("varbit(9)", "varbit(7)", "varbit")),
    *(f"alter g type {new}" for new in ("bigint", "oid", "int4")),
    *("alter h type inet", "alter i type timestamp", "alter i type timestamptz(6)"),
    *("alter j type varchar(10)", "alter j type varchar(8)", "alter k type text"),
    *(f"add z {column}" for column in (
        "int", "int default 1 + (2)", "text default upper('x')", "int default fixed()",
        "timestamptz default (now() at time zone 'utc')", "varchar(9) default 'x'::varchar(9)",
        "text[] default array[]::text[]", "timestamptz default clock_timestamp()",
        "uuid default gen_random_uuid()", "int default nextval('s')", "date default current_date",
        "int default coalesce(1, (2))", "strict", "short", "short default 'x'", "serial",
        "numeric(9,2) default round(random()::numeric, 2)",
        "decimal(9,2) default (1.5)::decimal(9,2)",
        "int generated always as (g + 1) stored", "timestamptz default date_trunc('day', now())",
    )),
    *("alter a set default 'x'", "alter a set not null", "drop a", "set (fillfactor = 90)"),
    *("alter d set storage external", "add check (g > 0)", "add primary key (g)"),
    *("set logged", "set tablespace pg_default", "set unlogged"),
    "alter a type text, alter g type int4",
    *("alter a type text, alter g type bigint", "alter d type varchar, add z int default 1 - (1)"),
]  # fmt: skip


def test_plan_calls_a_rewrite_what_the_server_then_rewrites(project: Project) -> None:
    """Whatever the text leaves open, each on a table of its own, by the file that holds it."""
    project.file("V1__t.sql", _TYPED)
    project.run("migrate")
    for number, change in enumerate(_CHANGES, 2):
        project.query(f"create table t{number} (like t)")
        project.file(f"V{number}__x.sql", f"alter table t{number} {change}")
    planned = project.run("plan")["data"]["files"]
    called = [file["locks"][0]["rewrite"] for file in planned]
    before = _files(project)
    document = project.run("migrate")
    assert document["outcome"] == "applied", document["error"]
    after = _files(project)
    rewritten = [
        after[f"t{number}"] != before[f"t{number}"] for number in range(2, 2 + len(called))
    ]
    wrong = [
        (change, claimed)
        for change, claimed, happened in zip(_CHANGES, called, rewritten, strict=True)
        if claimed != happened
    ]
    assert wrong == [], wrong


def _files(project: Project) -> dict[str, int]:
    return dict(
        project.query("select relname, relfilenode from pg_class where relname ~ '^t[0-9]+$'")
    )


@pytest.mark.parametrize("sql", ["do $$ begin end $$", "call f()", "select f()"])
def test_code_whose_locks_the_text_does_not_tell_is_opaque(sql: str) -> None:
    assert is_opaque(next(scan(sql)))


@pytest.mark.parametrize(("end", "reads"), [("", True), (" not valid", False)])
def test_both_tables_of_a_foreign_key_are_held_while_rows_are_looked_up(
    end: str, reads: bool
) -> None:
    sql = f"alter table o add constraint fk foreign key (a) references c (id){end}"
    assert {(lock.relation, lock.scan) for lock in locks_of(next(scan(sql)))} == {
        ("o", reads), ("c", reads),
    }  # fmt: skip
