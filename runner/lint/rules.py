"""`runner lint`: squawk's rules, our own, and the files against a git base. Never in the Lambda."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from runner.errors import ConfigurationError, Refused
from runner.files.examine import examine, sql_of
from runner.files.folder import Folder, Migration, read_folder
from runner.lint.advice import advised
from runner.lint.base import Base, compare, read_base
from runner.lint.findings import OWN_RULES, Found, Judged, unwaived
from runner.lint.phases import advice
from runner.lint.squawk import squawk, unknown
from runner.lint.waivers import Waivers, read_waivers
from runner.report.wording import many
from runner.result import Result
from runner.syntax.statements import position


def lint(sql_dir: Path, run_id: str, *, base: str | None, server_version: str) -> Result:
    """Judge the files of a folder; the result's data is a list of findings.

    Parameters:
        base: a git commit that this branch will be merged into. What it has already can no
            longer be changed, so that only what is new here is held against the rules.
        server_version: the target's PostgreSQL, such as 17 or 17.7.

    Raises:
        ConfigurationError: the folder has problems, squawk or git is missing, or the base is.

    """
    if not re.fullmatch(r"\d+(\.\d+)?", server_version):
        raise ConfigurationError(
            f"{server_version!r} is not a server version", fix="--server-version 17"
        )
    result = Result("lint", run_id)
    folder = read_folder(sql_dir)
    sources = [_source(migration) for migration in _files(folder)]
    known = read_base(sql_dir, base) if base is not None else None
    waivers = read_waivers(sql_dir)
    findings = sorted(_judge(folder, sources, known, waivers, server_version))
    result.data = [found.finding() for found in findings]
    result.warnings += advice(_judged(sources, known, waivers))
    if findings:
        files = len({finding.file for finding in findings})
        result.error = Refused(
            f"{many(len(findings), 'finding')} in {many(files, 'file')}",
            fix="mend them, or give a reason on top of the file: -- runner: allow <rule>: <why>;"
            f" of a file that is applied already, in {waivers.path}: <file> <rule>: <why>",
        )
    return result


def _judge(
    folder: Folder, sources: list[Judged], base: Base | None, waivers: Waivers, version: str
) -> Iterator[Found]:
    """Yield every finding that has no waiver."""
    judged = _judged(sources, base, waivers)
    found = [finding for source in judged for finding in _own(folder, source)]
    # A U file undoes: what squawk warns of is its purpose.
    found += squawk([s for s in judged if s.migration.kind != "U"], version)
    found += compare(base, sources) if base else ()
    by_file: dict[str, list[Found]] = {}
    for finding in found:
        by_file.setdefault(finding.file, []).append(finding)
    for source in judged:
        theirs = by_file.pop(str(source.migration.path), ())
        yield from advised(source, unwaived(waivers.of(source), theirs, _no_rule))
    yield from waivers.strays(folder)
    for rest in by_file.values():
        yield from rest


def _judged(sources: list[Judged], base: Base | None, waivers: Waivers) -> list[Judged]:
    """Return what can still be changed."""
    return [
        source
        for source in sources
        if not (waivers.leaves_out(source) or (base and base.has(source)))
    ]


def _no_rule(rule: str) -> bool:
    return rule not in OWN_RULES and unknown(rule)


def _files(folder: Folder) -> tuple[Migration, ...]:
    return (*folder.versioned, *folder.undo.values(), *folder.repeatable)


def _source(migration: Migration) -> Judged:
    text = sql_of(migration)
    checked = examine(migration, text)
    return Judged(migration, text, checked.transactional, checked.problems)


def _own(folder: Folder, source: Judged) -> Iterator[Found]:
    migration = source.migration
    for problem in source.problems:
        place = position(source.text, problem.offset)
        yield source.found("not-runnable", problem.message, problem.fix, place)
    yield from _naming(folder, source)
    lone = migration.kind == "V" and migration.key not in folder.undo
    if lone and not migration.directives.irreversible:
        name = re.sub("^V", "U", migration.path.name)
        yield source.found(
            "missing-undo",
            "nothing undoes it",
            f"write {name}, or put '-- runner: irreversible: <why>' on top",
        )


def _naming(folder: Folder, source: Judged) -> Iterator[Found]:
    migration = source.migration
    words = migration.path.stem.partition("__")[2]
    if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", words):
        yield source.found(
            "naming",
            f"the description {words!r} is not lower-case words joined by single underscores",
            "rename the file, such as V042__add_order_status.sql",
        )
    up = folder.by_key().get(migration.key) if migration.kind == "U" else None
    if up and up.description != migration.description:
        yield source.found(
            "naming",
            f"it undoes {up.name} under another description",
            f"rename it to {re.sub('^V', 'U', up.path.name)}",
        )
