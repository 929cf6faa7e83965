"""A PostgreSQL that a folder keeps, for a first look: it runs while a command does.

It is fast, and does not outlive a power failure.
"""

import contextlib
import fcntl
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg2
from psycopg2.extensions import make_dsn

from runner.embedded.ports import free_port
from runner.embedded.scram import verifier
from runner.embedded.server import Server, embedded_bin_dir
from runner.errors import ConfigurationError
from runner.signals import held

_DATABASE = "app"


@contextlib.contextmanager
def kept_database(home: Path) -> Iterator[str]:
    """Give the URL of the database in a folder, which is made at first; its server runs meanwhile.

    Raises:
        ConfigurationError: another command uses the folder, or the server cannot start.
    """
    home.mkdir(parents=True, exist_ok=True)
    (home / ".gitignore").write_text("*\n", encoding="utf-8")
    with _alone(home):
        server = Server(embedded_bin_dir(), home, free_port(), durable=False)
        try:
            with held():
                server.start()
            url = owners_url(server.url(), _DATABASE)
            yield make_dsn(url, dbname=_DATABASE)
        finally:
            with held():
                server.stop()


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep other commands off the folder; the lock goes with the process that holds it."""
    with (home / "lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"another command uses the PostgreSQL in {home}", fix="run again when it has ended"
            ) from error
        yield


def owners_url(administrators: str, database: str | None = None) -> str:
    """Make a login that may do what the owner of an environment's database may; return its URL.

    It is nobody's superuser, as nobody is on RDS: what only one may do is not proved.

    Parameters:
        administrators: the URL of the server's superuser.
        database: one that shall be there and be that login's own.
    """
    password = secrets.token_hex(16)
    administrators = make_dsn(administrators, sslmode="disable")  # whatever PGSSLMODE is meant for
    with contextlib.closing(psycopg2.connect(administrators)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("select from pg_roles where rolname = 'migrator'")
        verb = "alter" if cursor.rowcount else "create"
        cursor.execute(f"{verb} role migrator login createdb password %s", (verifier(password),))
        cursor.execute("select from pg_database where datname = %s", (database,))
        if database and not cursor.rowcount:
            cursor.execute(f"create database {database} owner migrator")
    return make_dsn(administrators, user="migrator", password=password)
