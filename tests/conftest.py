"""What every test may ask for: a real PostgreSQL server and a database of its own."""

import itertools
from collections.abc import Iterator

import psycopg2
import pytest

from local.postgres import Server, embedded_bin_dir
from local.process import free_port


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one PostgreSQL server for the whole session, fast and not durable."""
    home = tmp_path_factory.mktemp("postgres")
    with Server(embedded_bin_dir(), home, free_port(), durable=False) as started:
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
    """Give the URL of a new, empty database (a template copy: some 30 ms), dropped afterwards."""
    name = f"test_{next(_numbers)}"
    _administrator.execute(f"create database {name}")
    yield server.url(name)
    _administrator.execute(f"drop database {name} with (force)")
