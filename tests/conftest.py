"""What every test may ask for: a PostgreSQL server, a database of its own, the emulated AWS."""

import contextlib
import functools
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from local.ansible.kept_models import keep
from local.postgres.certificates import ensure_certificates
from local.stack import Stack
from local.state import State
from runner.embedded import Server, embedded_bin_dir, major_of
from runner.embedded.ports import free_port
from tests.groups import Groups, place, slow


@pytest.fixture(scope="session", autouse=True)
def _nothing_stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the session when a process of its tests outlives it, and end that process.

    The variable marks what inherits it, and keeps Ansible out of the user's home.
    """
    folder = str(tmp_path_factory.getbasetemp())
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ANSIBLE_REMOTE_TMP", f"{folder}/ansible")
        yield
    _, left = psutil.wait_procs(_processes_about(folder), timeout=5)
    said = [" ".join(process.cmdline()) for process in left]
    for process in left:
        process.kill()
    assert not said, f"tests left processes behind: {said}"


@pytest.fixture(scope="session", autouse=True)
def _models_are_kept() -> None:
    """Read AWS's models once a process: modules and requests are tried by the hundred."""
    keep()


def _processes_about(folder: str) -> list[psutil.Process]:
    """Return our children, and all whose arguments, environment or place name the folder."""
    this = psutil.Process()
    known = {this, *this.parents()}
    found = [*this.children(recursive=True)]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            texts = [process.cwd(), *process.cmdline(), *process.environ().values()]
            if any(text == folder or f"{folder}/" in text for text in texts):
                found.append(process)
    return [process for process in dict.fromkeys(found) if process not in known]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one PostgreSQL server for the whole session, fast and not durable.

    TEST_POSTGRES_BIN names the folder of another version's binaries, TEST_MEMORY one that is
    memory: databases are made and dropped by the hundred, some ten times as fast there.
    """
    memory = os.environ.get("TEST_MEMORY") or tmp_path_factory.getbasetemp()
    with (
        tempfile.TemporaryDirectory(prefix="postgres-", dir=memory) as home,
        Server(_bin_dir(), Path(home), free_port(), durable=False) as started,
    ):
        yield started


@pytest.fixture(scope="session")
def _administrator(server: Server) -> Iterator["psycopg2.extensions.cursor"]:
    connection = psycopg2.connect(server.url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


_numbers = itertools.count(1)


@pytest.fixture
def database(server: Server, _administrator: "psycopg2.extensions.cursor") -> Iterator[str]:
    """Give the URL of a new, empty database (a template copy: some 15 ms), dropped afterwards."""
    name = f"test_{next(_numbers)}"
    # As before PostgreSQL 15, which writes each page to its log unless it is told otherwise.
    how = " strategy file_copy" if _major() >= 15 else ""
    _administrator.execute(f"create database {name}{how}")
    yield server.url(name)
    _administrator.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with ca.pem and server.pem, as the emulated Aurora has them."""
    folder = tmp_path_factory.mktemp("certificates")
    ensure_certificates(folder)
    return folder


@pytest.fixture(scope="session")
def front(server: Server, certificates: Path) -> Iterator[int]:
    """Give the port on which the session's server speaks TLS, and only that.

    As in the emulator it is a process of its own: libpq's cancel holds this one's interpreter
    lock.
    """
    port = free_port()
    serve = (
        "import sys, pathlib; from local.postgres.tls import TlsFront\n"
        "tls = TlsFront(pathlib.Path(sys.argv[1]))\n"
        "tls.open(int(sys.argv[2]), int(sys.argv[3]))\n"
        "print('ready', flush=True); sys.stdin.read(); tls.close()\n"
    )
    arguments = [str(certificates / "server.pem"), str(port), str(server.port)]
    with subprocess.Popen(
        [sys.executable, "-c", serve, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield port
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run the emulated AWS of all accounts on free ports.

    `stack.environment(account)` is for processes, `stack.client(service, account)` for boto3.
    """
    emulated = Stack(
        State.of_tests(tmp_path_factory.mktemp("stack")), ["000000000000", "111122223333"]
    )
    emulated.up()
    yield emulated
    emulated.down()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by what they take; begin the longest groups first where workers share them."""
    major = _major()
    older = [
        item for item in items if any(mark.args[0] > major for mark in item.iter_markers("since"))
    ]
    config.hook.pytest_deselected(items=older)
    items[:] = [item for item in items if item not in older]
    for item in items:
        if slow(item):
            item.add_marker("slow")
        asked = getattr(item, "fixturenames", ())
        if "server" in asked and "stack" not in asked:
            item.add_marker("server")
    if hasattr(config, "workerinput"):
        items.sort(key=place)


def _bin_dir() -> Path:
    return Path(os.environ.get("TEST_POSTGRES_BIN") or embedded_bin_dir())


@functools.cache
def _major() -> int:
    """Return the major version of the server that tests ask."""
    return major_of(_bin_dir())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Give each worker tests that share what is expensive to make.

    Marks of pytest-xdist would say it too, if it knew this pytest's node ids.
    """
    return Groups(config, log)
