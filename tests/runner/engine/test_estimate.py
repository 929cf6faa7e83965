"""How long a file holds its locks is told from sizes, and from what earlier runs took here."""

from typing import Any

import pytest

from runner.engine.estimate import estimate, paces
from runner.report.wording import takes
from runner.result import Relation, Trace
from runner.syntax.hazards import hazards_of
from runner.syntax.locks import locks_of
from runner.syntax.scanner import scan
from tests.runner.project import Project

MB = 1 << 20


def earlier(held_ms: float, rewritten: list[str] | None = None, **sizes: int) -> Trace:
    """Return the trace of a run that locked relations of these sizes."""
    locks: Any = [
        {"relation": n, "mode": "AccessExclusiveLock", "bytes": b} for n, b in sizes.items()
    ]
    return {"locks": locks, "rewritten": rewritten or [], "dropped": [], "held_ms": held_ms}


def of(sql: str, runs: list[Trace], **sizes: int) -> Any:
    """Return the estimate of a file for tables of these sizes, after these runs."""
    there: dict[str, Relation] = {
        name: {"relation": name, "bytes": size, "rows": 1, "writes_per_second": 0,
               "reads_per_second": 0} for name, size in sizes.items()
    }  # fmt: skip
    statements = list(scan(sql))
    locks = [
        lock._replace(rewrite=lock.may_rewrite)
        for statement in statements
        for lock in locks_of(statement)
    ]
    hazards = [hazard for statement in statements for hazard in hazards_of(statement)]
    return estimate(locks, hazards, there, paces(runs))


def test_a_rewrite_takes_as_long_as_the_table_is_large_at_the_pace_of_earlier_rewrites() -> None:
    runs = [earlier(1000, ["a"], a=10 * MB, b=500 * MB), earlier(2000, ["c"], c=20 * MB)]
    found = of("alter table t alter x type bigint", runs, t=100 * MB)
    assert (found["ms"], found["runs"]) == (10_000, 2)
    assert found["least_ms"] < 10_000 < found["most_ms"]


def test_a_slower_run_than_usual_makes_the_estimate_wider() -> None:
    runs = [earlier(1000, ["a"], a=10 * MB)] * 3
    usual = of("alter table t alter x type bigint", runs, t=100 * MB)
    wider = of(
        "alter table t alter x type bigint", [*runs, earlier(9000, ["a"], a=10 * MB)], t=100 * MB
    )
    assert (usual["ms"], wider["ms"]) == (10_000, 10_000)
    assert wider["most_ms"] == 90_000 > usual["most_ms"]


@pytest.mark.parametrize(
    "sql",
    [
        "alter table t alter x type bigint",
        "alter table t alter x set not null",
        "create index i on t (x)",
        "update t set x = 1",
    ],
)
def test_what_works_on_all_of_a_table_is_guessed_where_no_run_tells(sql: str) -> None:
    found = of(sql, [], t=1000 * MB)
    assert found["runs"] == 0
    assert 1000 < found["least_ms"] < found["ms"] < found["most_ms"]
    assert "guessed from the size" in takes(found)


@pytest.mark.parametrize(
    "sql",
    [
        "alter table t add column y int",
        "update t set x = 1 where x = 2",
        "create table other (id int)",
        "alter table gone alter x type bigint",
    ],
)
def test_what_works_on_no_table_that_is_there_takes_a_moment(sql: str) -> None:
    assert takes(of(sql, [], t=1000 * MB)) == "expected to take a moment"


def test_a_run_that_took_its_time_tells_the_next_plan_how_large_it_was(project: Project) -> None:
    project.file("V1__t.sql", "create table t as select 1 as x from generate_series(1, 50000)")
    project.file(
        "V2__slow.sql", "alter table t alter x type bigint; do 'begin perform pg_sleep(0.3); end'"
    )
    project.file("V3__quick.sql", "alter table t add column y int")
    noted = {entry["version"]: entry["locks"] for entry in project.run("migrate")["applied"]}
    assert [lock.get("bytes", 0) > MB for lock in noted["2"]] == [True]
    assert [lock.get("bytes") for lock in noted["3"]] == [None]
    project.file("V4__again.sql", "alter table t alter x type int")
    project.file("V5__code.sql", "do 'begin perform 1; end'")
    again, code = project.run("plan")["data"]["files"]
    assert again["takes"]["runs"] == 1
    assert code["takes"] is None
