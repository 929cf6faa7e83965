"""`runner import-files`: another tool's files under our names, checked before any is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from runner.errors import ConfigurationError
from runner.files.examine import examine, sql_of
from runner.files.folder import Migration, canonical, parse_version, read_folder
from runner.foreign import listed, numbered
from runner.foreign.source import Line, Part, Source
from runner.report.wording import many
from runner.result import Result
from runner.syntax.statements import position

TOOLS: dict[str, Callable[[Source], Iterator[Part]]] = {
    "golang-migrate": numbered.golang_migrate,
    "dbmate": numbered.dbmate,
    "goose": numbered.goose,
    "diesel": numbered.diesel,
    "sqlx": numbered.sqlx,
    "flyway": numbered.flyway,
    "sqitch": listed.sqitch,
    "liquibase": listed.liquibase,
}


def import_files(
    sql_dir: Path, tool: str, folder: Path, run_id: str, *, yes: bool = False
) -> Result:
    """Write another tool's files under our names; shows them first, and writes with `yes`.

    The result's data is a line for each file: its name, and where it comes from. The same files
    give the same texts; one that is there already as it would be written is left out.

    Parameters:
        sql_dir: where they are written.
        tool: one of TOOLS.
        folder: where the other tool's are.

    Raises:
        ConfigurationError: with every place of what cannot be taken over; nothing was written.
    """
    source = Source(folder)
    parts = [_filled(source, each) for each in _with_ways_back(source, [*TOOLS[tool](source)])]
    if not parts and not source.problems:
        raise ConfigurationError(
            f"no migration of {tool} in {folder}", fix="name the folder that has its files"
        )
    undone = {version for kind, version in map(_identity, parts) if kind == "U"}
    heads = {part.target: _head(part, undone, tool) for part in parts}
    if not source.problems:
        _check(source, parts, heads)
    texts = {part.target: heads[part.target] + part.text for part in parts}
    if source.problems:
        raise ConfigurationError(
            f"{many(len(source.problems), 'place')} in {folder} cannot be taken over",
            details=tuple(source.problems),
            fix="nothing was written; mend the places named above in a copy of them",
        )
    new = _new(sql_dir, texts)
    result = Result("import-files", run_id)
    result.warnings += source.notes
    result.data = [f"{part.target}  {part.place}" for part in parts if part.target in new]
    if yes and new:
        _write(sql_dir, {name: texts[name] for name in new})
        result.changed = True
    else:
        result.planned = bool(new)
    return result


def _with_ways_back(source: Source, parts: Sequence[Part]) -> list[Part]:
    """Return the parts without ways back that say nothing, and refuse two of one version."""
    found: dict[tuple[str, str], Part] = {}
    for part in parts:
        kind, version = _identity(part)
        if kind == "U" and part.is_empty():
            continue
        twin = found.setdefault((kind, version), part)
        if twin is not part:
            source.refuse(part.source, 1, f"{twin.source} has the same version or name")
    for (kind, version), part in found.items():
        if kind == "U" and ("V", version) not in found:
            source.refuse(part.source, 1, "undoes a version that is not there")
    return list(found.values())


def _filled(source: Source, part: Part) -> Part:
    """Return a part that says something: other tools know versions without a statement."""
    if _identity(part)[0] == "U" or not part.is_empty():
        return part
    source.notes.append(f"{part.source} holds no statement: 'select 1;' stands for it")
    number = part.lines[-1].number if part.lines else 1
    ended = "" if part.text.endswith(("\n", "\r")) or not part.lines else "\n"
    return part._replace(lines=(*part.lines, Line(number, f"{ended}select 1;\n")))


def _identity(part: Part) -> tuple[str, str]:
    """Return kind, and version or description, as the history would tell it from others."""
    name = part.target.rpartition("/")[2]
    first, _, description = name.partition("__")
    if first == "R":
        return "R", description
    return first[0], canonical(parse_version(first[1:]))


def _head(part: Part, undone: set[str], tool: str) -> str:
    """Return the directives that say what the other tool knew of a file."""
    kind, version = _identity(part)
    head = "" if part.transactional else "-- runner: no-transaction\n"
    if kind == "V" and version not in undone:
        head += f"-- runner: irreversible: {tool} had no way back for it\n"
    return head


def _check(source: Source, parts: Sequence[Part], heads: dict[str, str]) -> None:
    """Have the runner look at the files as they would be, and say where theirs are at fault."""
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), {part.target: heads[part.target] + part.text for part in parts})
        read = read_folder(Path(folder))
        files: dict[str, Migration] = {
            file.name: file for file in (*read.versioned, *read.undo.values(), *read.repeatable)
        }
        for part in parts:
            text = sql_of(files[part.target])
            above = heads[part.target].count("\n")
            for problem in examine(files[part.target], text).problems:
                line = max(position(text, problem.offset)[0] - above, 1)
                number = part.lines[min(line, len(part.lines)) - 1].number if part.lines else 1
                source.refuse(part.source, number, f"{problem.message}: {problem.fix}")


def _new(sql_dir: Path, texts: dict[str, str]) -> set[str]:
    """Return the names of what is not there yet.

    Raises:
        ConfigurationError: with every file that is there otherwise.
    """
    known = read_folder(sql_dir) if sql_dir.is_dir() else None
    there = {file.name: file for file in known.by_key().values()} if known else {}
    new: set[str] = set()
    problems = []
    for name, text in texts.items():
        path = sql_dir / name
        if not path.exists():
            new.add(name)
        elif path.read_bytes() != text.encode():
            problems.append(f"{path}: is there already, and is another file")
    mine = {_key(name) for name in new}
    problems += [
        f"{sql_dir / name}: has the version or name of a new one"
        for name in sorted(set(there) - set(texts))
        if _key(name) in mine
    ]
    if problems:
        raise ConfigurationError(
            f"{many(len(problems), 'file')} of {sql_dir} would be in the way",
            details=tuple(problems),
            fix="nothing was written; move them, or name another folder with --sql-dir",
        )
    return new


def _key(name: str) -> tuple[str, str]:
    return _identity(Part(name, "", ()))


def _write(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
