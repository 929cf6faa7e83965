"""The tools: how each is installed, what it is given, and how it is asked."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import workload
from benchmarks.workload import Script

_BIN = Path(sys.executable).parent
_FLOOR = Path(__file__).with_name("floor.py")
_PATIENCE = 300  # seconds that an installation may take


class Asked(NamedTuple):
    """A command, and where and with what it runs."""

    command: Sequence[str | Path]
    folder: Path | None = None
    environment: Mapping[str, str] = {}


class Tool(NamedTuple):
    """One tool.

    `write` lays out its project from scripts; `commands` says for each work how it is asked, by
    project, URL and number of migrations. `floor`: it is what others are compared with.
    """

    name: str
    write: Callable[[Path, list[Script]], None]
    commands: Mapping[str, Callable[[Path, str, int], Asked]]
    note: str = ""
    floor: bool = False


class Missing(Exception):
    """A tool that cannot be had here, and why."""


def ours() -> Tool:
    """Return this project's own runner."""

    def asked(*words: str) -> Callable[[Path, str, int], Asked]:
        return lambda folder, url, _: Asked(
            [_BIN / "runner", *words, "--sql-dir", folder, "--database-url", url]
        )

    return Tool(
        "runner",
        workload.write,
        {
            "apply": asked("migrate"),
            "nothing": asked("migrate"),
            "status": asked("status"),
            "undo": asked("rollback", "--to", "0", "--yes"),
        },
        "checksums verified, drift and locks looked at",
    )


def floors() -> list[Tool]:
    """Return what no tool can be faster than: psycopg2 alone, and psql."""

    def asked(work: str) -> Callable[[Path, str, int], Asked]:
        return lambda folder, url, _: Asked([sys.executable, _FLOOR, work, folder, url])

    compares = {"nothing": asked("nothing"), "status": asked("status")}
    pieces = Tool("psycopg2, in pieces", workload.write, {"apply": asked("pieces")}, floor=True)
    single = {"apply": asked("apply"), "undo": asked("undo"), **compares}
    batch = {"apply": asked("apply-batch"), "undo": asked("undo-batch")}
    return [
        Tool("psycopg2, a message each", workload.write, single, "a history row each", floor=True),
        Tool("psycopg2, 100 in a message", workload.write, batch, "a history row each", floor=True),
        pieces,
    ]


def psql() -> Tool:
    """Return psql with all files in one script, each in a transaction; it keeps no history."""
    _said("psql", "--version")

    def write(folder: Path, scripts: list[Script]) -> None:
        folder.mkdir(parents=True)
        with (folder / "all.sql").open("w") as file:
            for script in scripts:
                file.write(f"begin;\n{script.up}\ncommit;\n")

    return Tool(
        "psql",
        write,
        {
            "apply": lambda folder, url, _: Asked(
                ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-f", folder / "all.sql", url]
            )
        },
        "a statement a message, no history",
        floor=True,
    )


class Npm:
    """Packages for Node.js in a folder of their own."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def install(self, *packages: str) -> str:
        """Install packages and return the first one's version."""
        self._home.mkdir(parents=True, exist_ok=True)
        found = self._home / "node_modules" / packages[0] / "package.json"
        if not found.exists():
            _said("npm", "install", "--no-audit", "--no-fund", "--prefix", self._home, *packages)
        return str(json.loads(found.read_text())["version"])

    def _run(self, script: str, *words: str | Path) -> list[str | Path]:
        return ["node", self._home / "node_modules" / script, *words]

    def dbmate(self) -> Tool:
        """Return dbmate, whose program comes for each platform in a package."""
        version = self.install("dbmate")
        programs = list(self._home.glob("node_modules/@dbmate/*/bin/dbmate"))
        if not programs:
            raise Missing("no program for this platform")

        def write(folder: Path, scripts: list[Script]) -> None:
            folder.mkdir(parents=True)
            for number, up, down in scripts:
                text = f"-- migrate:up\n{up}\n-- migrate:down\n{down}"
                (folder / f"{number:06}_item.sql").write_text(text)

        def asked(work: str) -> Callable[[Path, str, int], Asked]:
            options: list[str | Path] = [programs[0], "--no-dump-schema", "-d"]
            return lambda folder, url, _: Asked(
                [*options, folder, "--url", f"{url}?sslmode=disable", work]
            )

        return Tool(
            f"dbmate {version}",
            write,
            {"apply": asked("migrate"), "nothing": asked("migrate"), "status": asked("status")},
            "no checksums; undoes one at a time",
        )

    def knex(self) -> Tool:
        """Return knex."""
        version = self.install("knex", "pg")

        def write(folder: Path, scripts: list[Script]) -> None:
            (folder / "migrations").mkdir(parents=True)
            config = "module.exports = {client: 'pg', connection: process.env.DATABASE_URL};\n"
            (folder / "knexfile.js").write_text(config)
            for number, up, down in scripts:
                text = "".join(
                    f"exports.{name} = knex => knex.schema.raw({json.dumps(sql)});\n"
                    for name, sql in (("up", up), ("down", down))
                )
                (folder / "migrations" / f"{number:06}_item.js").write_text(text)

        def asked(*words: str) -> Callable[[Path, str, int], Asked]:
            return lambda folder, url, _: Asked(
                self._run("knex/bin/cli.js", "--knexfile", folder / "knexfile.js", *words),
                folder,
                {"DATABASE_URL": url, "NODE_PATH": str(self._home / "node_modules")},
            )

        return Tool(
            f"knex {version}",
            write,
            {
                "apply": asked("migrate:latest"),
                "nothing": asked("migrate:latest"),
                "status": asked("migrate:list"),
                "undo": asked("migrate:rollback", "--all"),
            },
            "no checksums",
        )

    def node_pg_migrate(self) -> Tool:
        """Return node-pg-migrate."""
        version = self.install("node-pg-migrate", "pg")

        def write(folder: Path, scripts: list[Script]) -> None:
            (folder / "migrations").mkdir(parents=True)
            for number, up, down in scripts:
                text = f"-- Up Migration\n{up}\n-- Down Migration\n{down}"
                (folder / "migrations" / f"{1_700_000_000_000 + number}_item.sql").write_text(text)

        program = "node-pg-migrate/bin/node-pg-migrate.js"

        def asked(*words: str) -> Callable[[Path, str, int], Asked]:
            return lambda folder, url, count: Asked(
                self._run(
                    program, *(word.format(count=count) for word in words), "--verbose", "false",
                    "-m", folder / "migrations",
                ),
                folder,
                {"DATABASE_URL": url},
            )  # fmt: skip

        return Tool(
            f"node-pg-migrate {version}",
            write,
            {"apply": asked("up"), "nothing": asked("up"), "undo": asked("down", "{count}")},
            "all files in one transaction; no checksums",
        )

    def graphile_migrate(self) -> Tool:
        """Return graphile-migrate."""
        version = self.install("graphile-migrate", "pg")

        def write(folder: Path, scripts: list[Script]) -> None:
            committed = folder / "migrations" / "committed"
            committed.mkdir(parents=True)
            (folder / ".gmrc").write_text('{"pgSettings": {}}\n')
            (folder / "migrations" / "current.sql").write_text("")
            previous = ""
            for number, up, _ in scripts:
                body = f"{previous}\n{up.strip()}".strip() + "\n"
                digest = hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest()
                (committed / f"{number:06}-item.sql").write_text(
                    f"--! Previous: {previous or '-'}\n--! Hash: sha1:{digest}\n\n{up}"
                )
                previous = f"sha1:{digest}"

        def asked(*words: str) -> Callable[[Path, str, int], Asked]:
            return lambda folder, url, _: Asked(
                self._run("graphile-migrate/dist/cli.js", *words),
                folder,
                # It wants to know of two other databases, and uses neither for this.
                {
                    "DATABASE_URL": url,
                    "ROOT_DATABASE_URL": f"{url}_root",
                    "SHADOW_DATABASE_URL": f"{url}_shadow",
                },
            )

        return Tool(
            f"graphile-migrate {version}",
            write,
            {"apply": asked("migrate"), "nothing": asked("migrate"), "status": asked("status")},
            "undoes nothing",
        )


class Pypi:
    """Packages for Python in an environment of their own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._python = home / "bin" / "python"

    def install(self, *packages: str) -> str:
        """Install packages and return the first one's version."""
        if not self._python.exists():
            _said(_BIN / "uv", "venv", "--quiet", "--python", sys.executable, self._home)
        asked = f"from importlib.metadata import version; print(version({packages[0]!r}))"
        try:
            return _said(self._python, "-c", asked).strip()
        except Missing:
            _said(
                _BIN / "uv", "pip", "install", "--quiet", "--python", self._python,
                *packages, "psycopg2-binary",
            )  # fmt: skip
        return _said(self._python, "-c", asked).strip()

    def alembic(self) -> Tool:
        """Return Alembic."""
        version = self.install("alembic")

        def write(folder: Path, scripts: list[Script]) -> None:
            (folder / "script" / "versions").mkdir(parents=True)
            (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/script\n")
            (folder / "script" / "env.py").write_text(_ALEMBIC)
            for number, up, down in scripts:
                (folder / "script" / "versions" / f"v{number:06}.py").write_text(
                    "from alembic import op\n"
                    f"revision = '{number:06}'\n"
                    f"down_revision = {f'{number - 1:06}' if number > 1 else None!r}\n"
                    "def run(sql): op.get_bind().exec_driver_sql(sql.replace('%', '%%'))\n"
                    f"def upgrade(): run({up!r})\n"
                    f"def downgrade(): run({down!r})\n"
                )

        def asked(*words: str) -> Callable[[Path, str, int], Asked]:
            return lambda folder, url, _: Asked(
                [self._home / "bin" / "alembic", *words], folder, {"DATABASE_URL": url}
            )

        return Tool(
            f"Alembic {version}",
            write,
            {
                "apply": asked("upgrade", "head"),
                "nothing": asked("upgrade", "head"),
                "status": asked("history", "--indicate-current"),
                "undo": asked("downgrade", "base"),
            },
            "a transaction each; no checksums",
        )

    def yoyo(self) -> Tool:
        """Return yoyo."""
        version = self.install("yoyo-migrations", "setuptools<80")

        def write(folder: Path, scripts: list[Script]) -> None:
            folder.mkdir(parents=True)
            for number, up, down in scripts:
                (folder / f"{number:06}.item.sql").write_text(up)
                (folder / f"{number:06}.item.rollback.sql").write_text(down)

        def asked(*words: str) -> Callable[[Path, str, int], Asked]:
            return lambda folder, url, _: Asked(
                [
                    self._home / "bin" / "yoyo",
                    *words,
                    "--batch",
                    "--no-config-file",
                    "-d",
                    url,
                    folder,
                ]
            )

        return Tool(
            f"yoyo {version}",
            write,
            {
                "apply": asked("apply"),
                "nothing": asked("apply"),
                "status": asked("list"),
                "undo": asked("rollback", "--all"),
            },
            "a statement a message",
        )

    def pgmigrate(self) -> Tool:
        """Return yandex-pgmigrate."""
        version = self.install("yandex-pgmigrate")

        def write(folder: Path, scripts: list[Script]) -> None:
            workload.write(folder / "migrations", scripts)
            for undo in (folder / "migrations").glob("U*"):
                undo.unlink()

        def asked(*words: str) -> Callable[[Path, str, int], Asked]:
            return lambda folder, url, _: Asked(
                [self._home / "bin" / "pgmigrate", "-d", folder, "-c", url, *words]
            )

        return Tool(
            f"yandex-pgmigrate {version}",
            write,
            {
                "apply": asked("-t", "latest", "migrate"),
                "nothing": asked("-t", "latest", "migrate"),
                "status": asked("info"),
            },
            "all files in one transaction; no checksums",
        )

    def django(self) -> Tool:
        """Return Django."""
        version = self.install("django")

        def write(folder: Path, scripts: list[Script]) -> None:
            (folder / "shop" / "migrations").mkdir(parents=True)
            (folder / "settings.py").write_text(_DJANGO)
            (folder / "shop" / "__init__.py").touch()
            (folder / "shop" / "migrations" / "__init__.py").touch()
            for number, up, down in scripts:
                before = [("shop", f"m{number - 1:06}")] if number > 1 else []
                (folder / "shop" / "migrations" / f"m{number:06}.py").write_text(
                    "from django.db import migrations\n"
                    "class Migration(migrations.Migration):\n"
                    f"    dependencies = {before!r}\n"
                    f"    operations = [migrations.RunSQL({up!r}, {down!r})]\n"
                )

        def asked(*words: str) -> Callable[[Path, str, int], Asked]:
            return lambda folder, url, _: Asked(
                [self._python, "-m", "django", *words],
                folder,
                {
                    "DATABASE_URL": url,
                    "DJANGO_SETTINGS_MODULE": "settings",
                    "PYTHONPATH": str(folder),
                },
            )

        return Tool(
            f"Django {version}",
            write,
            {
                "apply": asked("migrate", "shop"),
                "nothing": asked("migrate", "shop"),
                "status": asked("showmigrations", "shop"),
                "undo": asked("migrate", "shop", "zero"),
            },
            "a transaction each; no checksums",
        )


_ALEMBIC = """import os
from alembic import context
from sqlalchemy import create_engine
url = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:")
with create_engine(url).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
_DJANGO = """import os
from urllib.parse import urlsplit
url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
    "PASSWORD": url.password, "HOST": url.hostname, "PORT": url.port}}
INSTALLED_APPS = ["shop"]
USE_TZ = True
"""


def everybody(home: Path, wanted: Sequence[str]) -> tuple[list[Tool], list[str]]:
    """Return the tools that can be had, and why the others cannot.

    Parameters:
        home: below it they are installed.
        wanted: which of them; all where it is empty.
    """
    npm, pypi = Npm(home / "node"), Pypi(home / "python")
    makers: dict[str, Callable[[], Tool]] = {
        "psql": psql,
        "dbmate": npm.dbmate,
        "knex": npm.knex,
        "node-pg-migrate": npm.node_pg_migrate,
        "graphile-migrate": npm.graphile_migrate,
        "alembic": pypi.alembic,
        "yoyo": pypi.yoyo,
        "yandex-pgmigrate": pypi.pgmigrate,
        "django": pypi.django,
    }
    found, missing = [ours(), *floors()], []
    for name, make in makers.items():
        if wanted and name not in wanted:
            continue
        try:
            found.append(make())
        except Missing as error:
            missing.append(f"{name} is left out: {error}")
    return found, missing


def _said(*command: str | Path) -> str:
    """Run a command and return what it says."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(str(error)) from error
    if done.returncode:
        raise Missing((done.stderr.strip().splitlines() or ["it fails"])[-1])
    return done.stdout
