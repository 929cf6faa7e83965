"""Whoever asks something of the history asks this room."""

from pathlib import Path

import pytest

import runner
from runner.history import table
from tests.runner.project import Project

SOURCES = Path(runner.__file__).parent


def test_no_other_room_names_the_historys_table() -> None:
    naming = {
        str(p.relative_to(SOURCES)) for p in SOURCES.rglob("*.py") if table.TABLE in p.read_text()
    }
    assert {path for path in naming if not path.startswith("history/")} == set()


@pytest.mark.parametrize(
    "table", ["schema_version_log", "schema_version_run", "schema_version_snapshot"]
)
def test_commands_do_without_a_table_of_the_history_that_somebody_dropped(
    project: Project, table: str
) -> None:
    for number in (1, 2):
        project.file(f"V{number}__t.sql", f"create table t{number} (n int)")
        project.file(f"U{number}__t.sql", f"drop table t{number}")
    project.run("migrate")
    project.query(f"drop table {table}")
    commands = (
        ["status", "--drift"], ["history"], ["plan"], ["repair"], ["rollback", "--steps", "1"],
        ["rollback", "--yes", "--steps", "1"], ["migrate"],
    )  # fmt: skip
    assert [project.run(*command)["exit_code"] for command in commands] == [0] * len(commands)
