"""A process is found again by its pid and its start, and what is Linux only is said before it."""

import os
import platform
import shlex
import subprocess
import sys
import time

import psutil
import pytest

from local import up
from local.errors import LocalError
from local.process.system import LINUX_ONLY
from local.stack import Stack
from local.state import State
from runner.embedded.ports import Claim, free_port, require_free
from runner.embedded.process import Process


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def test_a_recorded_process_is_the_same_whatever_the_clock_says(child, tmp_path, monkeypatch):
    process = Process.running(child.pid)
    process.record(tmp_path / "pid")
    now, boot = time.time(), psutil.boot_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 3600)
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot + 3600)
    assert psutil.Process(child.pid).create_time() > now + 3000
    assert Process.recorded(tmp_path / "pid") == process


def test_another_process_of_the_same_pid_is_not_it(child, tmp_path):
    process = Process.running(child.pid)
    Process(process.pid, process.started - 1).record(tmp_path / "pid")
    assert Process.recorded(tmp_path / "pid") is None
    Process(process.pid, process.started - 1).stop()
    assert child.poll() is None


def test_a_process_that_nobody_has_waited_for_counts_as_ended(child):
    process = Process.running(child.pid)
    assert not process.ended(0.05)
    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert Process.running(child.pid) is None
    assert process.ended(0)


def test_a_process_that_ignores_the_signal_is_killed(tmp_path):
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as stubborn:
        stubborn.stdout.readline()
        process = Process.running(stubborn.pid)
        process.stop(timeout=0.2)
        assert not process.alive


def test_processes_are_found_by_environment_and_by_arguments(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", "input()", f"{tmp_path}/worker.py"],
        stdin=subprocess.PIPE, env={**os.environ, "LOCAL_MARK": str(tmp_path)},
    ) as started:  # fmt: skip
        process = Process.running(started.pid)
        while process not in Process.naming(f"{tmp_path}/"):  # until it is Python
            time.sleep(0.01)
        assert Process.with_variable("LOCAL_MARK", str(tmp_path)) == [process]
        started.communicate(b"\n")


def test_one_free_port_is_no_trouble():
    require_free(Claim(free_port(), "a test", "LOCAL_TEST_PORT"))


def test_another_system_is_told_what_is_linux_only_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(LocalError) as refused:
        Stack(State.of_tests(tmp_path / "state")).up()
    assert str(refused.value) == (
        f"this is Darwin, and the local stack needs Linux: {'; '.join(LINUX_ONLY)}"
    )
    assert not (tmp_path / "state").exists()


def test_the_psql_line_is_one_that_a_shell_understands(tmp_path):
    home = tmp_path / "my clone" / "postgres" / "000000000000-shop"
    home.mkdir(parents=True)
    (home / "pgpass").write_text("127.0.0.1:15433:*:postgres:secret\n")
    (home / "database").write_text("shop")
    said = up._what_next(Stack(State(tmp_path / "my clone")))
    (line,) = [text for text in said.splitlines() if text.startswith("The database:")]
    words = shlex.split(line)
    assert words[-3:] == [
        f"PGPASSFILE={home}/pgpass", "psql", "postgresql://postgres@127.0.0.1:15433/shop",
    ]  # fmt: skip
