"""squawk's rules over migration files, asked with what is true of this runner."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from runner.errors import ConfigurationError, RunnerError
from runner.lint.findings import Found, Judged
from runner.syntax.scanner import scan

# What the runner answers for already.
_ANSWERED = (
    "require-lock-timeout",  # it sets lock_timeout, and tries again
    "require-statement-timeout",  # it sets statement_timeout to what the deadline leaves
    "require-timeout-settings",
    "prefer-robust-stmts",  # a transaction or the journal makes a second run safe
    "transaction-nesting",  # it refuses transaction control (rule not-runnable)
    "ban-uncommitted-transaction",
    "ban-concurrent-index-creation-in-transaction",  # it decides which files have a transaction
)

_PATIENCE = 300.0  # seconds that squawk may take for all files


def squawk(sources: Sequence[Judged], server_version: str) -> Iterator[Found]:
    """Yield what squawk finds in the files.

    Parameters:
        server_version: the target's PostgreSQL, such as 17 or 17.7.

    Raises:
        ConfigurationError: squawk is not installed.
        RunnerError: it did not answer as expected.

    """
    for transactional in (True, False):
        files = [source for source in sources if source.transactional == transactional]
        if files:
            yield from _ask(files, server_version, transactional=transactional)


def unknown(rule: str) -> bool:
    """Return whether squawk has no rule of this name."""
    return _run("--exclude", rule, "--no-error-on-unmatched-pattern", "none").returncode != 0


def _ask(files: Sequence[Judged], version: str, *, transactional: bool) -> Iterator[Found]:
    """Run squawk over copies, so that no name is a pattern and no settings file is found."""
    with tempfile.TemporaryDirectory() as folder:
        for number, source in enumerate(files):
            path = Path(folder, f"{number}.sql")
            path.write_text(_readable(source.text), encoding="utf-8", newline="\n")
        Path(folder, "settings.toml").touch()
        answer = _run(
            "--reporter", "json", "--config", "settings.toml", "--pg-version", version,
            "--exclude", ",".join(_ANSWERED),
            *(["--assume-in-transaction"] if transactional else []), "*.sql",
            folder=folder,
        )  # fmt: skip
    try:
        found = json.loads(answer.stdout)
    except ValueError as error:
        raise RunnerError(
            f"squawk failed: {answer.stderr.strip() or f'exit code {answer.returncode}'}"
        ) from error
    yield from _findings(files, found)


def _findings(files: Sequence[Judged], found: Iterable[dict[str, Any]]) -> Iterator[Found]:
    lines: dict[int, list[bytes]] = {}
    for entry in found:
        number = int(Path(entry["file"]).stem)
        if number not in lines:
            lines[number] = _readable(files[number].text).encode().split(b"\n")
        # squawk counts lines from 0, and a column in bytes.
        line = lines[number][entry["line"]] if entry["line"] < len(lines[number]) else b""
        column = len(line[: entry["column"]].decode(errors="ignore")) + 1
        yield files[number].found(
            entry["rule_name"],
            entry["message"],
            entry["help"] or f"see https://squawkhq.com/docs/{entry['rule_name']}",
            (entry["line"] + 1, column),
        )


def _readable(text: str) -> str:
    """Return the text as squawk can read it, every line where it was.

    COPY's data is no SQL to it; a comment that switches it off gives no reason.
    """
    spans = [found.copy_data for found in scan(text) if found.copy_data]
    for start, end in reversed(spans):
        text = (
            text[:start] + re.sub(r"[^\r\n]+", "", text[start:end]) + text[end:].removeprefix("\\.")
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("squawk-ignore", "squawk_ignore")


def _run(*arguments: str, folder: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [_program(), *arguments], cwd=folder, capture_output=True, encoding="utf-8",
            check=False, timeout=_PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise RunnerError(
            f"squawk has not ended after {_PATIENCE:.0f} s",
            fix="is one of the files very large, or one expression in it? load rows by other means",
        ) from error


@cache
def _program() -> str:
    """Return the path of squawk: the one beside this Python, else the one on PATH."""
    beside = Path(sys.executable).parent / "squawk"
    found = str(beside) if beside.exists() else shutil.which("squawk")
    if not found:
        raise ConfigurationError(
            "lint needs the program squawk, which is not installed",
            fix="pip install 'schema-migrations[lint]'",
        )
    return found
