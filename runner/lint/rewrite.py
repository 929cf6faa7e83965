"""`runner rewrite`: a migration as the files that do the same, and keep nobody waiting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runner.errors import ConfigurationError, Refused
from runner.files.directives import Directives
from runner.files.examine import described, examine, sql_of
from runner.files.folder import Folder, Migration, canonical, parse_version, read_folder
from runner.result import Result
from runner.syntax.lexer import Problem
from runner.syntax.recipes import Step, recipe_of
from runner.syntax.scanner import scan


class _File(NamedTuple):
    path: Path
    text: str


def rewrite(sql_dir: Path, name: str, run_id: str, *, yes: bool = False) -> Result:
    """Write the safe way of a V file in its place, with its ways back; shows it first.

    The first part takes the place of the file and of its undo, the others get versions below it:
    V5, V5.1, V5.2. The result's data is the texts, line by line.

    Parameters:
        name: the file's name, or its path.

    Raises:
        ConfigurationError: there is no such file, or a version below it is taken.
        Refused: it holds what no recipe does, or what waits for a deployment.
    """
    folder = read_folder(sql_dir)
    migration = _wanted(folder, name)
    files = [*_files(folder, migration, _steps(migration))]
    result = Result("rewrite", run_id)
    result.data = [line for file in files for line in (f"== {file.path}", *file.text.splitlines())]
    result.warnings.append("for a file that is applied nowhere; then prove it: runner verify")
    if not yes:
        result.planned = True
        return result
    undo = folder.undo.get(migration.key)
    for old in (migration, *([undo] if undo else [])):
        old.path.unlink()
    for file in files:
        with file.path.open("x", encoding="utf-8", newline="\n") as target:
            target.write(file.text)
    result.changed = True
    return result


def _wanted(folder: Folder, name: str) -> Migration:
    for migration in folder.versioned:
        if name in (migration.name, str(migration.path)):
            return migration
    raise ConfigurationError(f"no V file {name}", fix="name one of the folder's: runner rewrite V…")


def _steps(migration: Migration) -> list[Step]:
    """Return the steps of all statements.

    Raises:
        Refused: with the place of each that cannot be written.
    """
    if migration.directives._replace(irreversible=None, allow=()) != Directives():
        raise ConfigurationError(
            f"{migration.name} says how it is to be run", fix="take its directives out first"
        )
    text = sql_of(migration)
    steps: list[Step] = []
    problems = [*examine(migration, text).problems]
    for statement in scan(text):
        recipe = recipe_of(statement)
        if recipe is None:
            fix = "move it to a file of its own"
            problems.append(
                Problem(statement.start, "this has no other way, or none is known", fix)
            )
        elif not recipe.is_whole:
            fix = "runner lint and the plan's page show it"
            problems.append(Problem(statement.start, "its safe way takes two deployments", fix))
        else:
            steps += recipe.steps
    if problems:
        raise Refused(
            f"{migration.name} cannot be rewritten",
            details=tuple(described(migration, text, problem) for problem in problems),
            fix="nothing was written",
        )
    return steps


def _files(folder: Folder, migration: Migration, steps: list[Step]) -> Iterator[_File]:
    first = re.fullmatch(r"V(.*?)__(.*)\.sql", migration.path.name)
    written, description = (first[1], first[2]) if first else ("", "")
    known = {file.key for file in folder.versioned}
    for number, step in enumerate(steps):
        version = f"{written}.{number}" if number else written
        if number and canonical(parse_version(version)) in known:
            raise ConfigurationError(
                f"version {version}, which it needs, is taken", fix="give that file another one"
            )
        end = f"{version}__{description}{f'_part_{number + 1}' if number else ''}.sql"
        up, down = migration.path.with_name(f"V{end}"), migration.path.with_name(f"U{end}")
        waivers = "".join(f"-- runner: allow {waiver}\n" for waiver in step.allow)
        head = f"{waivers}{'' if number else _remarks(migration)}-- {step.what}\n"
        yield _File(up, _text(step.up, alone=step.alone, head=head))
        yield _File(down, _text(step.down or (), alone=step.undone_alone))


def _remarks(migration: Migration) -> str:
    """Return the comments on top of a file, without the directives."""
    lines = migration.text().splitlines()
    until = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return "".join(f"{line}\n" for line in lines[:until] if not re.match(r"--\s*runner:", line))


def _text(statements: tuple[str, ...], *, alone: bool, head: str = "") -> str:
    directive = "-- runner: no-transaction\n" if alone else ""
    return directive + head + "".join(f"{sql};\n" for sql in statements)
