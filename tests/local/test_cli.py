"""The command line says in one line what is wrong, and prints what a shell can use."""

import os
import subprocess
import sys

import pytest

from local.cli import main
from runner.embedded.ports import free_port


@pytest.fixture
def state(tmp_path, monkeypatch):
    for name in ("AWS", "PIPELINE", "DATABASE", "PSQL"):
        monkeypatch.setenv(f"LOCAL_{name}_PORT", str(free_port()))
    return tmp_path / "state"


def test_env_is_what_a_shell_evaluates(state):
    shell = f'eval "$({sys.executable} -m local --state {state} env)"; env'
    done = subprocess.run(
        ["bash", "-euc", shell], env=os.environ | {"AWS_PROFILE": "production"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    environment = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert "AWS_PROFILE" not in environment
    assert environment["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert environment["AWS_CONFIG_FILE"] == "/dev/null"


def test_what_cannot_be_done_is_one_line(state, capsys):
    assert main(["--state", str(state), "psql"]) == 2
    assert capsys.readouterr().err == "local: there is no database yet: make local\n"


def test_a_wrong_port_is_one_line(state, capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_AWS_PORT", "99999")
    assert main(["--state", str(state), "start"]) == 2
    assert capsys.readouterr().err == (
        "local: LOCAL_AWS_PORT=99999 is not a port: give a number up to 65535\n"
    )


def test_reset_leaves_the_chosen_ports_and_nothing_else(state):
    (state / "postgres/data").mkdir(parents=True)
    (state / "deployed").touch()
    (state / "ports.json").write_text('{"aws": 7}')
    assert main(["--state", str(state), "reset"]) == 0
    assert [path.name for path in state.iterdir()] == ["ports.json"]


def test_status_and_down_of_nothing_are_fine(state, capsys):
    assert main(["--state", str(state), "status"]) == 0
    assert main(["--state", str(state), "down"]) == 0
    assert capsys.readouterr().out == "nothing here yet: make local\n"
    assert not state.exists()
