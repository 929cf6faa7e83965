"""Proof, drift, plan and trace on a schema of three hundred tables."""

import json
from pathlib import Path

import pytest

from runner.cli import main
from tests.runner.project import Project

pytestmark = pytest.mark.scale

_VERSIONS, _TABLES = 30, 10


@pytest.fixture
def large(project: Project) -> Project:
    """Give a project of thirty versions with ten tables each, bound by foreign keys."""
    for version in range(1, _VERSIONS + 1):
        up, down = [f"create type mood{version} as enum ('good', 'bad');"], []
        for number in range(_TABLES):
            table = f"t{version}_{number}"
            parent = f"references t{version - 1}_{number}" if version > 1 else ""
            up.append(
                f"create table {table} (id bigint generated always as identity primary key,"
                f" parent bigint {parent}, mood mood{version} not null default 'good',"
                " note text not null check (note <> ''), amount numeric(10, 2));"
                f" create index on {table} (parent); create index {table}_note on {table} (note);"
                f" comment on table {table} is 'number {number}';"
            )
            down.append(f"drop table {table};")
        down.append(f"drop type mood{version};")
        project.file(f"V{version:03}__tables.sql", "\n".join(up))
        project.file(f"U{version:03}__tables.sql", "\n".join(down))
    project.file("R__all.sql", "create or replace view everything as select id from t1_0")
    project.file(
        "U001__tables.sql", "drop view if exists everything;\n" + "\n".join(down_of_first())
    )
    return project


def down_of_first() -> list[str]:
    return [f"drop table t1_{number};" for number in range(_TABLES)] + ["drop type mood1;"]


def test_everything_is_proved_and_one_wrong_down_is_found(large: Project) -> None:
    document = large.run("verify")
    assert document["exit_code"] == 0
    assert all(entry["proved"] for entry in document["data"]["migrations"])
    wrong = (large.folder / "U030__tables.sql").read_text().replace("drop type mood30;", "")
    large.file("U030__tables.sql", wrong)
    document = large.run("verify")
    assert "type" in document["error"]["message"]
    assert "mood30" in document["error"]["message"]


def test_one_change_by_hand_among_thousands_of_objects_is_named_alone(large: Project) -> None:
    large.run("migrate")
    large.query("alter table t17_3 alter note drop not null")
    details = large.run("status", "--drift")["error"]["details"]
    assert details[1:] == [
        "~ column public.t17_3.note",
        "    was: text not null",
        "    is:  text",
    ]


def test_heavy_migration_is_planned_traced_and_reported(large: Project, tmp_path: Path) -> None:
    large.run("migrate")
    large.query(
        "insert into t5_5 (note) select repeat('x', 2000) from generate_series(1, 50000);"
        "analyze t5_5"
    )
    large.file("V031__heavy.sql", "alter table t5_5 alter note type varchar(4000)")
    large.file("V032__heavier.sql", "alter table t5_5 alter amount type text")
    plan = large.run("plan")
    first, second = plan["data"]["files"]
    assert second["locks"] == [{"relation": "t5_5", "mode": "AccessExclusiveLock", "rewrite": True}]
    assert second["risk"] in {"notice", "block"}
    applied = large.run("migrate", "--plan-digest", plan["data"]["digest"])
    assert [entry["rewritten"] for entry in applied["applied"]] == [
        ["public.t5_5"],
        ["public.t5_5"],
    ]
    saved = tmp_path / "result.json"
    saved.write_text(json.dumps(applied, default=str))
    assert main(["report", str(saved), "-o", str(tmp_path / "page.html")]) == 0
    assert "public.t5_5" in (tmp_path / "page.html").read_text()
    assert first["file"] == "V031__heavy.sql"
