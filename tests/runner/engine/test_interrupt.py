"""Ctrl-C and SIGTERM: the statement ends at once, and the result says what was done."""

import json
import signal
from collections.abc import Callable

import pytest

from tests.runner.project import Project

_RUNNING = "select count(*) = 1 from pg_stat_activity where query ~ '^select pg_sleep'"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_running_file_and_lists_what_was_done(
    project: Project, wait_for: Callable[[str], None], number: signal.Signals
) -> None:
    """The statement sleeps for longer than the whole test may take."""
    project.file("V1__a.sql", "create table a ()")
    project.file("V2__b.sql", "select pg_sleep(600)")
    process = project.start("migrate")
    wait_for(_RUNNING)
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    document = json.loads(out)
    assert (process.returncode, document["exit_code"]) == (130, 130)
    assert [entry["version"] for entry in document["applied"]] == ["1"]
    assert project.history() == [("1", "applied")]
    wait_for("select count(*) = 0 from pg_stat_activity where application_name ~ 'schema-migra'")
