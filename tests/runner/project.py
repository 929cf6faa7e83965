"""A project of migration files and the runner's command line over it."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg2

from runner import cli
from runner.database.quoting import quoted
from tests.runner.schema import conforming


class Project:
    """A folder of SQL files and a database of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self._started: list[subprocess.Popen[str]] = []
        folder.mkdir()

    def file(self, name: str, text: str | bytes) -> Path:
        """Write a migration file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run a command in this process and return its result document."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            code = cli.main([*self._target(), "--json", *arguments])
        document = conforming(json.loads(out.getvalue()))
        assert document["exit_code"] == code
        return document

    def text(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command in this process; return exit code, stdout and stderr as a person sees."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main([*self._target(), *arguments])
        return code, out.getvalue(), err.getvalue()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command as a process of its own; stdout is its result document."""
        process = subprocess.Popen(
            [sys.executable, "-m", "runner", *self._target(), "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
        )
        self._started.append(process)
        return process

    def finish(self, process: "subprocess.Popen[str]") -> dict[str, Any]:
        """Wait for a started command and return its result document."""
        out, err = process.communicate(timeout=60)
        assert out, err
        document = conforming(json.loads(out))
        assert document["exit_code"] == process.returncode
        return document

    def end(self) -> None:
        """End what a failed test left running: the next test is not to fail for it."""
        for process in self._started:
            with process:
                process.kill()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query as a bystander would."""
        with contextlib.closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []

    def history(self, schema: str = "public") -> list[tuple[str, str]]:
        """Return version and state of everything in the history, in order of application."""
        table = f"{quoted(schema)}.schema_version"
        return self.query(f"select version, state from {table} order by applied_order")

    def _target(self) -> list[str]:
        url = ["--database-url", self.url] if self.url else []
        return ["--sql-dir", str(self.folder), *url, "--connect-wait", "0"]
