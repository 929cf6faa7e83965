"""The time of day decides nothing: it may be set at any moment, the server's as well as ours."""

import re
import unicodedata
from pathlib import Path

import pytest

import runner
from tests.runner.project import Project

_TIME_OF_DAY = re.compile(
    r"\btime\.time\(|datetime\.now|clock_timestamp|\bnow\(\)|current_timestamp|_timestamp\(\)"
)
# Where it is asked for, and what for.
_SHOWN = {
    "build.py": "how much of its time a build has used, of which CodeBuild tells when it began",
    "commands/clones.py": "when a copy that was forgotten may go, which its tag says",
    "commands/new.py": "versions that are a time, which are after the newest file's in any case",
    "database/sessions.py": "how long others are in a transaction",
    "engine/standing.py": "when a backfill is expected to end",
    "engine/trace.py": "how long a file took, in a transaction that knows no other clock",
    "engine/waiting.py": "in which hours of the day a backfill may work, as it is told to",
    "handler.py": "when a metric was measured",
    "history/table.py": "when rows were written",
    "history/write.py": "the same, of rows that are written again",
    "result.py": "when a run began",
}


def test_time_of_day_is_asked_for_where_it_is_shown_only() -> None:
    root = Path(runner.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if _TIME_OF_DAY.search(path.read_text())
    }
    assert found == {*_SHOWN}


@pytest.mark.parametrize("ahead", ["400 days", "-400 days"])
def test_rollback_that_stopped_is_the_one_that_began_last(project: Project, ahead: str) -> None:
    """Two that began where the log had not grown, the first when the clock was wrong."""
    for number in range(1, 5):
        project.file(f"V{number}__t.sql", f"create table t{number} ()")
        project.file(f"U{number}__t.sql", f"drop table t{number}")
    project.run("migrate")
    project.file("U4__t.sql", "select 1 / 0")
    assert project.run("rollback", "--yes", "--steps", "1")["exit_code"] == 3
    project.query(f"update schema_version_run set at = at + interval '{ahead}'")
    project.file("U4__t.sql", "drop table t4")
    project.file("U2__t.sql", "select 1 / 0")
    assert project.run("rollback", "--yes", "--steps", "3")["exit_code"] == 3
    project.file("U2__t.sql", "drop table t2")
    assert project.run("rollback", "--yes", "--steps", "3")["exit_code"] == 0
    assert project.history() == [("1", "applied")]


def test_newer_of_two_rows_of_one_file_is_the_one_that_the_log_has_last(project: Project) -> None:
    """Rows whose names differ in their Unicode form; the newer one was written by a slow clock."""
    project.file("R__été.sql", "select 1")
    project.run("migrate")
    other = unicodedata.normalize("NFD", "R__été")
    project.query(f"""
        insert into schema_version
            (version, kind, state, description, run_id, checksum, applied_order, applied_at)
            overriding system value
        values ('{other}', 'repeatable', 'applied', 'x', 'x', 'another text', 0,
                now() - interval '1 day');
        insert into schema_version_log (id, version, action, run_id)
            overriding system value values (2, '{other}', 'repeat', 'x')
    """)
    project.file("V1__a.sql", "select 1")
    project.run("migrate")
    assert project.query("select checksum from schema_version where kind = 'repeatable'") == [
        ("another text",)
    ]


def test_file_during_which_the_clock_is_set_back_took_no_time(project: Project) -> None:
    """The file says that it and its transaction began tomorrow, which comes to the same."""
    tomorrow = "(extract(epoch from clock_timestamp()) + 86400)::text"
    project.file(
        "V1__a.sql",
        f"select set_config('runner.began', {tomorrow}, true),"
        f" set_config('runner.opened', {tomorrow}, true)",
    )
    (entry,) = project.run("migrate")["applied"]
    assert (entry["duration_ms"], entry["held_ms"]) == (0, 0)
