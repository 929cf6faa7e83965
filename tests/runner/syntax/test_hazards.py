"""What a statement loses, breaks or switches off is told from its text, and nothing else is."""

import pytest

from runner.syntax.effects import replaced
from runner.syntax.hazards import hazards_of
from runner.syntax.locks import locks_of
from runner.syntax.scanner import scan

HAZARDS = {
    "drop table transfer": [("data", "transfer")],
    "drop table if exists a, b.c cascade": [("data", "a"), ("data", "b.c")],
    "drop schema public cascade": [("data", None)],
    "drop sequence s": [("data", "s")],
    "drop owned by app": [("data", None)],
    "drop view v": [("clients", None)],
    "drop materialized view v": [("clients", None)],
    "drop function f(int)": [("clients", None)],
    "drop extension pg_trgm cascade": [("clients", None)],
    "drop trigger t on orders": [("safeguards", "orders")],
    "drop policy p on orders": [("safeguards", "orders")],
    "truncate transfer": [("data", "transfer")],
    "truncate table a, b": [("data", "a"), ("data", "b")],
    "delete from transfer": [("data", "transfer")],
    "delete from only transfer": [("data", "transfer")],
    "delete from transfer where id > 10": [("data", "transfer")],
    "update transfer set kind = upper(kind)": [("rows", "transfer")],
    "revoke select on t from app": [("clients", None)],
    "alter table t drop column a": [("data", "t"), ("clients", "t")],
    "alter table t drop a": [("data", "t"), ("clients", "t")],
    "alter table t drop column if exists a, add b int": [("data", "t"), ("clients", "t")],
    "alter table t rename column a to b": [("clients", "t")],
    "alter table t rename to u": [("clients", "t")],
    "alter table t set schema s": [("clients", "t")],
    "alter table t set unlogged": [("data", "t")],
    "alter table t disable trigger all": [("safeguards", "t")],
    "alter table t disable row level security": [("safeguards", "t")],
    "alter table t alter a type bigint": [("clients", "t")],
    "alter table t alter column a set data type bigint": [("clients", "t")],
    "alter table t alter a set not null": [("clients", "t")],
    "alter table t alter a drop default": [("clients", "t")],
    "alter view v rename to w": [("clients", None)],
    "alter type mood rename value 'sad' to 'blue'": [("clients", None)],
    "alter function f(int) set schema s": [("clients", None)],
}
HARMLESS = (
    "create table t (a int)",
    "create or replace view v as select 1",
    "insert into t values (1)",
    "update t set a = 1 where b",
    "alter table t add column a int",
    "alter table t drop constraint c",
    "alter table t rename constraint c to d",
    "alter table t enable trigger all",
    "alter table t alter a set default 1",
    "alter table t alter a drop not null",
    "alter table t alter a set statistics 100",
    "drop index i",
    "grant select on t to app",
    "comment on table t is 'delete from t'",
)
# Whose locks and effects are told as well.
OTHERS = (
    "create unique index concurrently if not exists i on only s . t using btree ( a )",
    "create table t partition of p for values in ( 1 )",
    "create table t ( a int references u ( b ) )",
    "create trigger g before insert on t for each row execute function f ( )",
    "create policy p on t using ( true )",
    "create rule r as on insert to t do instead nothing",
    "alter table t add constraint c foreign key ( a ) references u ( b ) not valid",
    "alter table t add column a int default random ( ) , attach partition p default",
    "alter table t detach partition p concurrently",
    "alter table t validate constraint c",
    "alter materialized view m rename to n",
    "lock table t in share row exclusive mode nowait",
    "vacuum ( full , verbose ) t",
    "cluster verbose t using i",
    "refresh materialized view concurrently m",
    "comment on column s . t . a is 'x'",
    "copy t from stdin",
    "merge into t using u on a = b when matched then delete",
    "reindex table concurrently t",
)


@pytest.mark.parametrize(("sql", "expected"), HAZARDS.items(), ids=HAZARDS)
def test_each_hazard_is_named_with_its_relation(
    sql: str, expected: list[tuple[str, str | None]]
) -> None:
    (statement,) = scan(sql)
    assert [(found.kind, found.relation) for found in hazards_of(statement)] == expected


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_loses_nothing_is_no_hazard(sql: str) -> None:
    (statement,) = scan(sql)
    assert hazards_of(statement) == []


@pytest.mark.parametrize("sql", [*HAZARDS, *HARMLESS, *OTHERS])
def test_a_statement_that_breaks_off_anywhere_is_looked_at_all_the_same(sql: str) -> None:
    words = sql.split()
    for count in range(1, len(words)):
        for statement in scan(" ".join(words[:count])):
            hazards_of(statement)
            locks_of(statement)
            replaced(statement)
