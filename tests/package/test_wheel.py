"""The runner's wheel serves alone, in an environment that holds what it declares and no more."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.commands.table import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel without extras into a new environment; return its runner command."""
    folder = tmp_path_factory.mktemp("bare")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*build, str(folder)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    uv = str(Path(sys.executable).parent / "uv")
    environment = {**os.environ, "UV_CACHE_DIR": str(ROOT / ".cache/uv")}
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
        [uv, "pip", "install", "--quiet", "--python", str(folder / "venv/bin/python"), str(wheel)],
    ):
        subprocess.run(command, env=environment, check=True)
    return folder / "venv/bin/runner"


def run(bare: Path, where: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a user would whose folder is no checkout of this project."""
    kept = ("HOME", "LANG", "TMPDIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return subprocess.run(
        [str(bare), *arguments],
        cwd=where,
        env={**environment, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(bare: Path, tmp_path: Path) -> Path:
    """Give a folder with one migration that was made by `new`."""
    assert run(bare, tmp_path, "new", "make_t").returncode == 0
    (tmp_path / "sql/V001__make_t.sql").write_text("create table t (n int);\n")
    (tmp_path / "sql/U001__make_t.sql").write_text("drop table t;\n")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_its_help(bare: Path, tmp_path: Path, command: str) -> None:
    assert run(bare, tmp_path, *command.split(), "--help").returncode == 0


def test_migration_is_applied_shown_and_undone(bare: Path, folder: Path, database: str) -> None:
    for command in (
        ["migrate"],
        ["status", "--check"],
        ["plan"],
        ["rollback", "--yes", "--steps", "1"],
    ):
        done = run(bare, folder, "--json", "--database-url", database, *command)
        assert json.loads(done.stdout)["error"] is None, done.stderr


def test_proof_on_a_server_needs_no_extra(bare: Path, folder: Path, database: str) -> None:
    assert run(bare, folder, "--database-url", database, "verify").returncode == 0


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("aws", ["invoke", "--function", "f:live", "migrate"]),
        ("lint", ["lint"]),
        ("verify", ["verify"]),
        ("report", ["report", "result.json", "-o", "result.html"]),
    ],
    ids=["aws", "lint", "verify", "report"],
)
def test_command_says_which_extra_it_needs(
    bare: Path, folder: Path, extra: str, command: list[str]
) -> None:
    run(bare, folder, "--save", "result.json", "validate")
    done = run(bare, folder, *command)
    assert done.returncode == 2
    assert f"pip install 'schema-migrations[{extra}]'" in done.stdout
    assert "Traceback" not in done.stderr
