"""`runner new`: the next number, both files, something to begin with."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from runner.errors import ConfigurationError
from runner.files.folder import Folder, read_folder, slug
from runner.result import Result

_UP = "-- {name}: what changes, and why\n\n"
_DOWN = (
    "-- Undoes {up}: afterwards the schema is exactly as before it.\n"
    "-- If that cannot be, delete this file and put on top of {up}:\n"
    "-- runner: irreversible: <why>\n\n"
)


# Versions that are times, by how many digits they have.
_TIMES = {14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M", 8: "%Y%m%d"}
_DIGITS = 3  # of the first number, where the folder does not say


def new(sql_dir: Path, name: str, run_id: str, *, edit: bool = False) -> Result:
    """Make the V and U files of the next version; the result's data is their paths.

    Parameters:
        edit: open both in the caller's editor.

    Raises:
        ConfigurationError: the name has no letter or digit, the folder has problems, or no editor
            is named.

    """
    described = slug(name)
    if not described:
        raise ConfigurationError(f"{name!r} is no description", fix="runner new add_orders")
    editor = _editor() if edit else []
    try:
        sql_dir.mkdir(parents=True, exist_ok=True)
        number = _next(read_folder(sql_dir))
        up, down = (sql_dir / f"{kind}{number}__{described}.sql" for kind in "VU")
        for path, template in ((up, _UP), (down, _DOWN)):
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(template.format(name=name, up=up.name))
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename} cannot be made: {error.strerror}",
            fix="name a folder that files can be written to, and a shorter description",
        ) from error
    result = Result("new", run_id)
    result.data = [str(up), str(down)]
    result.changed = True
    if editor:
        result.warnings += _edited(editor, (up, down))
    return result


def _editor() -> list[str]:
    """Return the command of the caller's editor, as git finds it."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not named:
        raise ConfigurationError(
            "--edit needs an editor, and neither VISUAL nor EDITOR names one",
            fix="export EDITOR=vim, or leave out --edit",
        )
    try:
        return shlex.split(named)
    except ValueError as error:
        raise ConfigurationError(
            f"the editor {named!r} is no command: {error}", fix="export EDITOR=vim"
        ) from error


def _edited(editor: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Open files in an editor, which has the terminal meanwhile; return what went wrong."""
    try:
        done = subprocess.run([*editor, *map(str, paths)], check=False)
    except OSError as error:
        return [f"the editor {editor[0]} cannot be run: {error.strerror}; the files are there"]
    return [f"{editor[0]} ended with {done.returncode}"] if done.returncode else []


def _next(folder: Folder) -> str:
    """Return the number after the newest, written as that one is.

    After a time comes the time that it is now, and after 1.2 comes 1.3.
    """
    if not folder.versioned:
        return "1".zfill(_DIGITS)
    written = Path(folder.versioned[-1].name).name[1:].partition("__")[0]
    parts = re.fullmatch(r"(.*?)(\d+)", written)
    assert parts, f"{written} is no version"
    before, last = parts.groups()
    after = int(last) + 1
    if not before:
        after = max(after, _now(last))
        return str(after).zfill(max(_DIGITS, len(last)))
    return f"{before}{after:0{len(last)}}"


def _now(written: str) -> int:
    """Return the time as a version that is a time is written, 0 where it is none."""
    form = _TIMES.get(len(written))
    if form is None:
        return 0
    try:
        datetime.strptime(written, form).replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int(f"{datetime.now(UTC):{form}}")
