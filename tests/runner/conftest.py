"""What the runner's tests share: a project on an empty database, and bystanders."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from runner import handler
from runner.engine import risk
from tests.runner.project import Project


@pytest.fixture
def project(tmp_path: Path, database: str) -> Iterator[Project]:
    """Give an empty project on an empty database."""
    given = Project(tmp_path / "sql", database)
    yield given
    given.end()


@pytest.fixture
def login(database: str, front: int, certificates: Path) -> dict[str, str]:
    """Give the variables with which a function logs in to the test's database: by TLS, verified."""
    url = make_dsn(database, host="localhost", port=front)
    return {"DATABASE_URL": url, "PGSSLROOTCERT": str(certificates / "ca.pem")}


@pytest.fixture
def deployed(project: Project, login: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Project:
    """Give a project whose files and database are the function's, called in this process."""
    monkeypatch.setattr(handler, "_ROOT", project.folder.parent)
    for name, value in login.items():
        monkeypatch.setenv(name, value)
    return project


@pytest.fixture(autouse=True)
def _short_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans look at traffic for a moment only: hardly any test has some."""
    monkeypatch.setattr(risk, "_WINDOW", 0.05)


@pytest.fixture
def bystander(database: str) -> Iterator["psycopg2.extensions.connection"]:
    """Give a second session that can hold locks; not in autocommit."""
    connection = psycopg2.connect(database)
    yield connection
    connection.close()


@pytest.fixture
def wait_for(project: Project) -> Callable[[str], None]:
    """Give a function that waits until a query's first value is true, at most 20 s."""

    def wait(sql: str) -> None:
        until = time.monotonic() + 20
        while not project.query(sql)[0][0]:
            assert time.monotonic() < until, f"never became true: {sql}"
            time.sleep(0.02)

    return wait
