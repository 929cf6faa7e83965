"""What the server or a file says is shown, and never obeyed."""

import json
from pathlib import Path

import pytest

from runner.deadline import Deadline
from runner.errors import ConfigurationError
from runner.files.directives import milliseconds
from runner.report.text import as_json
from tests.runner.project import Project

ODD = "\x07\x1b[2J\x9b31m\r\u202e\u2066\u200b"
OBEYED = {"\x07", "\x1b", "\x7f", "\x9b", "\r", "\u202e", "\u2066", "\u200b"}


def test_notices_and_file_names_on_the_way_to_a_terminal_are_made_harmless(
    project: Project,
) -> None:
    odd = "' || ".join(["", *(f"chr({ord(char)}) || '" for char in ODD)]).removeprefix("' || ")
    project.file("V1__a\x1b[2J\x9b.sql", f"do $$ begin raise notice '%', {odd}x'; end $$")
    _, out, err = project.text("migrate")
    assert OBEYED.isdisjoint(out + err)
    assert "NOTICE" in err


def test_json_is_the_same_and_holds_nothing_that_a_terminal_obeys() -> None:
    document = {"text": f"é {ODD} \udcff"}
    written = as_json(document)
    assert OBEYED.isdisjoint(written)
    assert json.loads(written) == document
    written.encode()


def test_output_takes_what_a_stream_cannot_show(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    project.file("V1__prüfung.sql", "select 1")
    assert project.finish(project.start("migrate"))["exit_code"] == 0


@pytest.mark.parametrize("duration", ["9" * 5000, "9" * 30 + "s", "99999d"])
def test_duration_beyond_the_servers_is_refused(duration: str) -> None:
    with pytest.raises(ConfigurationError):
        milliseconds(duration)


@pytest.mark.parametrize("seconds", [float("inf"), 1e300])
def test_deadline_beyond_all_time_is_none(seconds: float) -> None:
    left = Deadline(seconds).left()
    assert left is not None
    assert 1e6 < left < 1e10


def test_role_with_any_name_is_compared_as_a_name(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    role = "o$owner$ 'n\\"
    quoted = '"' + role + '"'
    project.query(f"create role {quoted}; grant all on schema public to {quoted}")
    monkeypatch.setenv("DATABASE_ROLE", role)
    project.file("V1__a.sql", "create table t (n int)")
    try:
        assert project.run("migrate")["error"] is None
    finally:
        project.query(f"drop owned by {quoted}; drop role {quoted}")
