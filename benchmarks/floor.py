"""The floors: psycopg2 doing what has to be done, and nothing else.

`python floor.py WORK FOLDER URL`, where WORK is apply or undo (a message a file), apply-batch or
undo-batch (a hundred files in a message), nothing, status, or pieces (a file in messages of about
a megabyte, in bounded memory).
"""

import hashlib
import os
import sys
from collections.abc import Iterator

import psycopg2

_AT_ONCE = 100
_PIECE = 1 << 20
_HISTORY = """create table if not exists floor_history (
    version text primary key, name text, checksum text, at timestamptz default clock_timestamp())"""
_FOUND = "select version, name, checksum, at from floor_history order by at"


def main() -> None:
    """Do the work that was asked for."""
    work, folder, url = sys.argv[1:]
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        if work in ("nothing", "status"):
            _compare(cursor, folder, shown=work == "status")
            return
        cursor.execute(_HISTORY)
        if work == "pieces":
            _pieces(cursor, folder)
            return
        what, _, batch = work.partition("-")
        messages = _applied(folder) if what == "apply" else _undone(folder)
        for message in _joined(messages, _AT_ONCE if batch else 1):
            cursor.execute(message)


def _files(folder: str, kind: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith(kind))  # noqa: PTH208


def _read(folder: str, name: str) -> tuple[bytes, str]:
    with open(os.path.join(folder, name), "rb") as file:  # noqa: PTH118, PTH123 - the fastest way
        content = file.read()
    return content, hashlib.sha256(content).hexdigest()


def _applied(folder: str) -> Iterator[str]:
    for name in _files(folder, "V"):
        content, checksum = _read(folder, name)
        row = f"insert into floor_history values ('{name[1:7]}', '{name}', '{checksum}')"  # noqa: S608
        yield f"begin; {content.decode()}; {row}; commit; "


def _undone(folder: str) -> Iterator[str]:
    for name in reversed(_files(folder, "U")):
        content, _ = _read(folder, name)
        row = f"delete from floor_history where version = '{name[1:7]}'"  # noqa: S608
        yield f"begin; {content.decode()}; {row}; commit; "


def _joined(messages: Iterator[str], count: int) -> Iterator[str]:
    gathered = []
    for message in messages:
        gathered.append(message)
        if len(gathered) == count:
            yield "".join(gathered)
            gathered = []
    if gathered:
        yield "".join(gathered)


def _compare(cursor: "psycopg2.extensions.cursor", folder: str, *, shown: bool) -> None:
    """Compare every file's checksum with the history, as a run with nothing to do must."""
    cursor.execute(_FOUND)
    history = {version: (checksum, at) for version, _, checksum, at in cursor}
    for name in _files(folder, "V"):
        checksum, at = history[name[1:7]]
        if _read(folder, name)[1] != checksum:
            sys.exit(f"{name} was changed")
        if shown:
            print(f"{name}  applied  {at:%Y-%m-%d %H:%M}")


def _pieces(cursor: "psycopg2.extensions.cursor", folder: str) -> None:
    """Send files of statements that end at line ends, never holding more than a piece of one."""
    for name in _files(folder, "V"):
        cursor.execute("begin")
        with open(os.path.join(folder, name)) as file:  # noqa: PTH118, PTH123
            while piece := file.read(_PIECE):
                cursor.execute(piece + file.readline())
        cursor.execute("insert into floor_history values (%s, %s); commit", (name[1:7], name))


main()
