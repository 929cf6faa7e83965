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
        "alter table p detach partition p1",
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
    assert rewritten == {name for name, lock in expected.items() if lock.rewrite}


@pytest.mark.parametrize("sql", ["do $$ begin end $$", "call f()", "select f()"])
def test_code_whose_locks_the_text_does_not_tell_is_opaque(sql: str) -> None:
    assert is_opaque(next(scan(sql)))
