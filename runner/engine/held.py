"""What waits for a backfill in the background, while the deployment goes on without it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from runner.engine.backfill import BEGUN
from runner.engine.plan import Task
from runner.files import pieces
from runner.files.folder import Folder, Migration, Version, parse_version
from runner.history.table import Row
from runner.syntax.locks import locks_of
from runner.syntax.names import made, says
from runner.syntax.scanner import scan


def split(folder: Folder, rows: Sequence[Row], tasks: list[Task]) -> tuple[list[Task], list[Task]]:
    """Return the tasks that run now, and those that wait or go on in the background, with why.

    Parameters:
        tasks: all that is pending, in order.
    """
    files = folder.by_key()
    begun = {row.version for row in rows if row.state == "applying" and row.checkpoint}
    begun = {key for key in begun if key in files and files[key].directives.in_background}
    unfinished = begun | {t.migration.key for t in tasks if t.migration.directives.in_background}
    if not unfinished:
        return tasks, []
    waits = _dependents((task.migration for task in tasks), unfinished)
    now, held = [], []
    for task in tasks:
        key = task.migration.key
        if key in begun:
            held.append(task._replace(why=BEGUN))
        elif key in waits:
            held.append(task._replace(why=waits[key]))
        else:
            now.append(task._replace(background=key in unfinished))
    return now, held


def excused(folder: Folder) -> Collection[str]:
    """Return the versions that may come after newer ones, because they had to wait."""
    background = {file.key for file in folder.versioned if file.directives.in_background}
    if not background:
        return ()
    first = min(file.version for file in folder.versioned if file.key in background)
    return _dependents((f for f in folder.versioned if f.version >= first), background)


def _dependents(files: Iterable[Migration], background: Collection[str]) -> dict[str, str]:
    """Return the files that must wait for those in the background, and why.

    One waits that says so, that names what is still to be filled, or what another makes that
    waits. Names are looked for in the whole text: in functions and views, too.

    Parameters:
        files: in the order in which they would run, with those in the background.
    """
    waits: dict[str, str] = {}
    versions: dict[Version, str] = {}
    names: dict[str, str] = {}
    for file in files:
        reason = _reason(file, versions, names)
        if reason:
            waits[file.key] = reason
            names |= {name: file.name for name in _touched(file) if name not in names}
        if batch := file.directives.batch if file.key in background else None:
            names.setdefault(batch.table, file.name)
        if (reason or file.key in background) and file.kind == "V":
            versions[file.version] = file.name
    return waits


def _reason(file: Migration, versions: dict[Version, str], names: dict[str, str]) -> str | None:
    needs = file.directives.needs
    if needs and (other := versions.get(parse_version(needs))):
        return f"waits for {other}, which it needs"
    if not names:
        return None
    texts = list(_texts(file))
    for name, other in names.items():
        if any(says(text, name) for text in texts):
            return f"waits for {other}, for it names {name}"
    return None


def _texts(file: Migration) -> Iterator[str]:
    if pieces.is_large(file):
        yield from (piece.sql for piece in pieces.pieces_of_large(file))
    else:
        yield file.text()


def _touched(file: Migration) -> Iterator[str]:
    """Yield the relations that a file locks or makes."""
    for text in _texts(file):
        for statement in scan(text):
            yield from (lock.relation for lock in locks_of(statement) if lock.relation)
            if name := made(statement):
                yield name
