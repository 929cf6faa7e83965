"""A real PostgreSQL behind each emulated Aurora cluster.

As on Aurora, the superuser (`rdsadmin`) is not for customers: the master user is an ordinary role
that may create roles and databases and belongs to `rds_superuser`. Data stays when the emulator
forgets its clusters, so creating a cluster of the same name adopts it, with a new password.
"""

import dataclasses
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import psycopg2
from psycopg2 import sql

from local.emulator.login import IamLogin
from local.errors import LocalError
from local.postgres.tls import TRUSTED_ADDRESS, TlsFront
from runner.embedded import Server, embedded_bin_dir
from runner.embedded.ports import free_port, is_free
from runner.embedded.privilege import unprivileged

_ROLES = ("rds_superuser", "rds_iam")
_SUPERUSER_IS = "grant pg_monitor, pg_signal_backend, pg_checkpoint to rds_superuser"


@dataclasses.dataclass(frozen=True)
class Ports:
    """Where one cluster listens: with TLS, as Aurora does, and plainly, for psql."""

    tls: int
    plain: int


class Databases:
    """The servers of all emulated clusters, each in a folder named after account and cluster."""

    def __init__(self, folder: Path, front: TlsFront, preferred: Ports, *, durable: bool) -> None:
        """Keep servers in `folder`; the first cluster gets the preferred ports if they are free."""
        self._folder = folder
        self._front = front
        self._preferred = preferred
        self._durable = durable
        self._open: dict[str, Ports] = {}
        self._lock = threading.Lock()

    def ensure(self, name: str, *, user: str, password: str, database: str | None) -> int:
        """Start or adopt the cluster's server, its master user and database; return the TLS port.

        Raises:
            LocalError: the server does not start.

        """
        with self._lock:
            new = name not in self._open
            if new:
                self._open[name] = self._ports(name)  # taken from now on, for other clusters too
        ports = self._open[name]
        if new:
            try:
                server = self._server(name, ports)
                server.start()
                self._front.open(ports.tls, ports.plain, IamLogin(name, ports.tls, server))
            except BaseException:
                del self._open[name]
                raise
        with _session(self._server(name, ports)) as cursor:
            for role in (*_ROLES, user):
                _create_role(cursor, role)
            cursor.execute(_SUPERUSER_IS)
            cursor.execute(
                sql.SQL(
                    "alter role {user} login createdb createrole;"
                    "grant rds_superuser to {user} with admin option;"
                    # May be granted by the master user, who is no member himself.
                    "grant rds_iam to {user} with admin true, inherit false, set false;"
                    "alter database postgres owner to {user}"
                ).format(user=sql.Identifier(user))
            )
            if database:
                _create_database(cursor, database, user)
            _trust_checked_tokens(self._folder / name / "data/pg_hba.conf", cursor)
        (self._folder / name / "database").write_text(database or "postgres")
        self.set_password(name, user=user, password=password)
        return ports.tls

    def copy(self, source: str, name: str) -> None:
        """Put all data of a running server where that of `name` is to be; `ensure` starts it.

        Raises:
            LocalError: it cannot be copied.

        """
        server, home, way = (
            self._server(source, self._open[source]),
            self._folder / name,
            unprivileged(),
        )
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        way.give(home)
        shutil.copy2(server.home / "password", home)
        way.give(home / "password")
        made = subprocess.run(
            [*way.prefix, server.bin_dir / "pg_basebackup", f"--dbname={server.url()}",
             f"--pgdata={home / 'data'}", "--checkpoint=fast", "--no-sync"],
            **way.options, cwd=home, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise LocalError(f"{source} cannot be copied: {' '.join(made.stderr.split())}")

    def set_password(self, name: str, *, user: str, password: str) -> None:
        """Give the master user a new password, and psql its password file."""
        ports = self._open[name]
        with _session(self._server(name, ports)) as cursor:
            statement = sql.SQL("alter role {} password %s").format(sql.Identifier(user))
            cursor.execute(statement, (password,))
        path = self._folder / name / "pgpass"
        with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            for host, port in (("127.0.0.1", ports.plain), ("localhost", ports.tls)):
                file.write(f"{host}:{port}:*:{user}:{password}\n")

    def remove(self, name: str) -> None:
        """Stop the cluster's server and delete its data."""
        if ports := self._open.pop(name, None):
            self._front.shut(ports.tls)
            self._server(name, ports).remove()

    def _server(self, name: str, ports: Ports) -> Server:
        return Server(
            embedded_bin_dir(),
            self._folder / name,
            ports.plain,
            durable=self._durable,
            superuser="rdsadmin",
        )

    def _ports(self, name: str) -> Ports:
        """Return the ports this cluster had, or free ones; remember them.

        A cluster with the preferred ports follows when they are moved.
        """
        path = self._folder / name / "ports.json"
        remembered = json.loads(path.read_text()) if path.exists() else {"preferred": True}
        preferred = remembered.pop("preferred", False)
        wanted = self._preferred if preferred else Ports(**remembered)
        known = {port for others in self._open.values() for port in dataclasses.astuple(others)}
        own = self._server(name, wanted).listens_on

        def usable(port: int) -> bool:
            return port not in known and (port == own or is_free(port))

        ports = Ports(
            tls=wanted.tls if usable(wanted.tls) else free_port(),
            plain=wanted.plain if usable(wanted.plain) else free_port(),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = dataclasses.asdict(ports) | {"preferred": ports == self._preferred}
        path.write_text(json.dumps(kept))
        return ports


class _session:  # noqa: N801 (a context manager reads like a function)
    """A superuser's session in autocommit, closed at the end."""

    def __init__(self, server: Server) -> None:
        self._connection = psycopg2.connect(server.url(), connect_timeout=10)
        self._connection.autocommit = True

    def __enter__(self) -> "psycopg2.extensions.cursor":
        return self._connection.cursor()

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _trust_checked_tokens(path: Path, cursor: "psycopg2.extensions.cursor") -> None:
    """Let in members of rds_iam whose tokens the TLS front has checked."""
    line = f"host all +rds_iam {TRUSTED_ADDRESS}/32 trust\n"
    if line not in (rules := path.read_text()):
        path.write_text(rules + line)
        cursor.execute("select pg_reload_conf()")


def _create_role(cursor: "psycopg2.extensions.cursor", role: str) -> None:
    cursor.execute("select from pg_roles where rolname = %s", (role,))
    if not cursor.rowcount:
        cursor.execute(sql.SQL("create role {}").format(sql.Identifier(role)))


def _create_database(cursor: "psycopg2.extensions.cursor", database: str, owner: str) -> None:
    cursor.execute("select from pg_database where datname = %s", (database,))
    if not cursor.rowcount:
        cursor.execute(
            sql.SQL("create database {} owner {}").format(
                sql.Identifier(database), sql.Identifier(owner)
            )
        )
