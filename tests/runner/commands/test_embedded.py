"""A folder keeps a PostgreSQL of its own, which runs while a command does and no longer."""

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from runner.cli import main
from runner.embedded.process import Process


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder to work in, where nothing names a database."""
    for name in ("DATABASE_URL", "PGHOST", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sql").mkdir()
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Run a command and return its result document."""
    main(["--json", "--embedded", *words])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_what_was_applied_is_there_for_the_next_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sql/V1__a.sql").write_text("create table a ()")
    monkeypatch.setenv("PGSSLMODE", "require")  # meant for another database
    document = run(capsys, "migrate")
    assert (document["error"], document["target"]["user"]) == (None, "migrator")
    assert run(capsys, "status", "--check")["exit_code"] == 0
    assert Process.naming(str(folder / ".postgres")) == []
    assert (folder / ".postgres/.gitignore").read_text() == "*\n"


def test_a_database_that_is_named_as_well_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    assert run(capsys, "migrate")["error"]["message"].endswith("which is meant?")
    assert not (folder / ".postgres").exists()


def test_a_second_command_does_not_take_the_server_from_the_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ".postgres").mkdir()
    with (folder / ".postgres/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another command uses" in run(capsys, "status")["error"]["message"]
