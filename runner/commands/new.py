"""`runner new`: the next number, both files, something to begin with."""

from __future__ import annotations

import re
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


def new(sql_dir: Path, name: str, run_id: str) -> Result:
    """Make the V and U files of the next version; the result's data is their paths.

    Raises:
        ConfigurationError: the name has no letter or digit, or the folder has problems.

    """
    words = slug(name)
    if not words:
        raise ConfigurationError(f"{name!r} is no description", fix="runner new add_orders")
    sql_dir.mkdir(parents=True, exist_ok=True)
    number = _next(read_folder(sql_dir))
    up, down = (sql_dir / f"{kind}{number}__{words}.sql" for kind in "VU")
    for path, template in ((up, _UP), (down, _DOWN)):
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(template.format(name=name, up=up.name))
    result = Result("new", run_id)
    result.data = [str(up), str(down)]
    result.changed = True
    return result


def _next(folder: Folder) -> str:
    """Return the number after the newest, as wide as that one is written, and three digits."""
    if not folder.versioned:
        return "001"
    newest = folder.versioned[-1]
    written = re.match(r"V(\d+)", Path(newest.name).name)
    width = len(written[1]) if written else 0
    return str(newest.version[0] + 1).zfill(max(3, width))
