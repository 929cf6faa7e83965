"""A server that only a proof uses, and what of the environments it is lent that it lacks.

What a folder's files find in their databases, nobody has made here: roles of RDS or of operators,
extensions that this build does not carry. Some of it can be stood in for, and that is said; the
rest is made by a file of the caller's.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import make_dsn

from runner.errors import ConfigurationError
from runner.files.folder import Folder
from runner.syntax.lexer import unquoted
from runner.syntax.scanner import scan
from runner.syntax.search import mentions

# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.PostgreSQL.CommonDBATasks.Roles.html
_RDS = ("rds_superuser", "rds_iam", "rds_replication", "rds_password", "rds_extension")
_VERSION = "1.0"  # of a stand-in whose version nobody names
_SAID = re.compile(r"[\w.]+").fullmatch
_NAME = re.compile(r"[a-z_][\w-]*").fullmatch
_FIRST_OWN = 16384  # the smallest id of what a server did not come with
_MADE = f"""
    select 'database', datname from pg_database
    where oid >= {_FIRST_OWN} and datname <> current_database()
    union all select 'tablespace', spcname from pg_tablespace where oid >= {_FIRST_OWN}
    union all select 'role', rolname from pg_roles where oid >= {_FIRST_OWN} and oid <> all (%s)
"""


class Lent:
    """The server of a proof.

    Parameters:
        url: of its superuser.
        login: who the files run as.
        home: a folder that the server can read.
        given: a file of SQL that makes what the files find, None where they need nothing.
    """

    def __init__(self, url: str, login: str, home: Path, given: Path | None):
        self._url = make_dsn(url, sslmode="disable")
        self._login = login
        self._home = home
        self._given = given

    def equip(self, folder: Folder) -> list[str]:
        """Make stand-ins for what the files name and the server lacks; return what is assumed."""
        files = (*folder.versioned, *folder.undo.values(), *folder.repeatable)
        texts = [migration.text() for migration in files]
        with self._session() as cursor:
            roles = [name for name in _RDS if any(mentions(text, name) for text in texts)]
            for name in roles:
                cursor.execute(f"create role {name}")
            lacking = self._lacking(cursor, texts)
            for name, versions in lacking.items():
                self._stand_in(name, versions)
            if lacking:
                path = sql.Literal(f"$system:{self._home}").as_string(cursor)
                cursor.execute(f"alter role {self._login} set extension_control_path = {path}")
            cursor.execute("select array_agg(oid) from pg_roles")
            self._roles = cursor.fetchone()[0]
        return [
            *(f"role {name}, as RDS has it" for name in roles),
            *(f"extension {name}: an empty one, without its functions" for name in lacking),
            *([f"what {self._given} makes"] if self._given else []),
        ]

    def give(self, database: str) -> None:
        """Run the caller's file in a new database.

        Raises:
            ConfigurationError: it cannot be read, or fails.
        """
        if not self._given:
            return
        try:
            text = self._given.read_text(encoding="utf-8")
            with self._session(database) as cursor:
                cursor.execute(text)
        except (OSError, UnicodeError, psycopg2.Error) as error:
            raise ConfigurationError(f"{self._given}: {str(error).strip()}") from error

    def clear(self) -> None:
        """Take away what files have made beside their database, for it would be there already."""
        with self._session() as cursor:
            cursor.execute(_MADE, (self._roles,))
            for kind, name in cursor.fetchall():
                cursor.execute(sql.SQL(f"drop {kind} {{}}").format(sql.Identifier(name)))

    def _lacking(self, cursor: Any, texts: Sequence[str]) -> dict[str, set[str]]:
        """Return the extensions that the server does not have, with the versions that are named."""
        wanted: dict[str, set[str]] = {}
        for text in texts:
            for statement in scan(text) if mentions(text, "extension") else ():
                if statement.head[1:2] == ("EXTENSION",):
                    name, version = _extension(list(statement.tokens())[2:])
                    wanted.setdefault(name, {_VERSION}).update(version)
        cursor.execute("select name from pg_available_extensions")
        there = {name for (name,) in cursor}
        return {name: wanted[name] for name in sorted(wanted) if _NAME(name) and name not in there}

    def _stand_in(self, name: str, versions: set[str]) -> None:
        """Write an extension that makes nothing, in each version and with each way between them."""
        folder = self._home / "extension"
        folder.mkdir(exist_ok=True)
        control = f"default_version = '{_VERSION}'\nrelocatable = true\ntrusted = true\n"
        (folder / f"{name}.control").write_text(control, encoding="utf-8")
        ways = itertools.permutations(versions, 2)
        for way in (*versions, *map("--".join, ways)):
            (folder / f"{name}--{way}.sql").touch()

    @contextlib.contextmanager
    def _session(self, database: str = "postgres") -> Iterator[Any]:
        with contextlib.closing(psycopg2.connect(self._url, dbname=database)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor


def _extension(tokens: list[str]) -> tuple[str, set[str]]:
    """Return an extension's name, and the version that a statement about it names."""
    name = tokens[3:4] if tokens[:3] == ["IF", "NOT", "EXISTS"] else tokens[:1]
    said = {
        unquoted(value).strip("'")
        for word, value in itertools.pairwise(tokens)
        if word in {"VERSION", "TO"}
    }
    return unquoted(name[0]) if name else "", {each for each in said if _SAID(each)}
