"""What a run would do, or why it must not: files and history in, tasks out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from runner.errors import ConfigurationError, ValidationFailed
from runner.files.folder import Folder, Migration, Version, canonical, parse_version
from runner.history.table import Row
from runner.result import Action


class Task(NamedTuple):
    """One file to run.

    `action` is "apply" (a V file), "repeat" (an R file) or "undo" (a U file); `resumes` is the
    half-done row that it goes on from, `why` says why it runs, for a person; `rests` are the
    repeatables in force, which may rest on what is undone; `background`: it only begins here.
    """

    action: Action
    migration: Migration
    why: str
    resumes: Row | None = None
    rests: tuple[str, ...] = ()
    background: bool = False


class Policy(NamedTuple):
    """What the caller allows.

    `target` is the last version to apply; `ahead` allows a history with versions newer than
    every file, as a rolled-back deployment finds it; `others` another tool that keeps a history
    of its own in the database; `after_deploy` also the files that wait for the new code.
    """

    target: Version | None = None
    out_of_order: bool = False
    ahead: bool = False
    others: bool = False
    after_deploy: bool = False


def plan_migrate(
    folder: Folder,
    history: Sequence[Row],
    *,
    policy: Policy,
    excused: Callable[[Folder], Collection[str]] = lambda _: (),
) -> list[Task]:
    """Return the files that are pending, in order: those that wait for the new code last.

    Parameters:
        excused: gives the versions that may come after newer ones, because they had to wait.

    Raises:
        ConfigurationError: the target version is neither a file nor applied.
        ValidationFailed: files and history do not fit; every reason is listed.
    """
    rows = {row.version: row for row in history}
    _known_target(folder, rows, policy.target)
    problems = [*_half_undone(history), *check(folder, history, ahead=policy.ahead)]
    prompt, held = (_pending(files, history, policy) for files in (folder.prompt, folder.held))
    late = _out_of_order(prompt, rows.values(), policy)
    allowed = excused(folder) if late else ()
    problems += [problem for key, problem in late.items() if key not in allowed]
    if problems:
        raise ValidationFailed(
            f"{len(problems)} problem{'s' * (len(problems) > 1)} between files and history",
            details=tuple(problems),
            fix="nothing was run; each line says what to do",
        )
    # A repeatable may need the newest versions, so it waits where a target leaves some out. One
    # that rested on what a held file takes away is another by then, and goes before it.
    again = [] if policy.target else _repeatables(folder, rows)
    return [
        *(_apply(migration, rows.get(migration.key)) for migration in prompt),
        *again,
        *(_apply(migration, rows.get(migration.key)) for migration in held),
    ]


def waiting(folder: Folder, history: Sequence[Row], policy: Policy) -> dict[str, str]:
    """Return the pending files that wait for the new code, by version, and why.

    Not one that has begun: whoever began it knew that the code was there.
    """
    waits: dict[str, str] = {}
    if policy.after_deploy:
        return waits
    begun = {row.version for row in history}
    names = {file.key: file.name for file in folder.held}
    for file in _pending(folder.held, history, policy):
        needs = file.directives.needs
        other = canonical(parse_version(needs)) if needs else ""
        if file.key in begun:
            continue
        if file.directives.after_deploy:
            waits[file.key] = "waits until the new code is deployed: run migrate --after-deploy"
        elif other in waits:
            waits[file.key] = f"waits for {names[other]}, which it needs"
    return waits


def _pending(files: Iterable[Migration], history: Sequence[Row], policy: Policy) -> list[Migration]:
    """Return the files that are not in force, as far as the policy goes."""
    applied = {row.version for row in history if row.state == "applied"}
    floor, target = baseline(history), policy.target
    return [
        file
        for file in files
        if file.version > floor
        and file.key not in applied
        and (target is None or file.version <= target)
    ]


def plan_rollback(
    folder: Folder,
    history: Sequence[Row],
    *,
    to: Version | None = None,
    steps: int | None = None,
    stopped: Sequence[str] = (),
) -> list[Task]:
    """Return the undo files to run: the reverse of the order in which was applied.

    Parameters:
        to: the version that is the newest afterwards; (0,) undoes everything.
        steps: or how many versions to undo.
        stopped: what a rollback that was to undo a number of versions left to do when it
            stopped; it is gone on with, for counted anew it would undo more than was asked for.

    Raises:
        ConfigurationError: the version is not in force.
        ValidationFailed: one of them is irreversible or has no U file; nothing is run then.
    """
    in_force = [row for row in history if row.kind == "versioned"]
    in_force.sort(key=lambda row: row.state == "undoing")  # what is half undone goes on first
    if to is not None:
        known = {row.version for row in history} | {"0"}
        if canonical(to) not in known:
            raise ConfigurationError(
                f"version {canonical(to)} is not in force", fix="runner status"
            )
        chosen = [row for row in in_force if parse_version(row.version) > to]
    else:
        chosen = [row for row in in_force if not stopped or row.version in stopped]
        chosen = chosen[len(chosen) - min(steps or 0, len(chosen)) :]
    by_key = {migration.key: migration for migration in folder.versioned}
    rests = tuple(row.version for row in history if row.kind == "repeatable")
    result, problems = [], []
    for row in reversed(chosen):
        undo = folder.undo.get(row.version)
        problem = _cannot_undo(row, by_key.get(row.version), undo)
        if problem:
            problems.append(problem)
        elif undo:
            half = row if row.state == "undoing" else None
            why = "half undone before" if half else "asked for"
            result.append(Task("undo", undo, why, half, rests))
    if problems:
        raise ValidationFailed(
            "these versions cannot be undone", details=tuple(problems), fix="nothing was run"
        )
    return result


def check(folder: Folder, history: Iterable[Row], *, ahead: bool = False) -> list[str]:
    """Return what does not fit between the files and what was applied from them."""
    files = folder.by_key()
    newest = max((migration.version for migration in folder.versioned), default=())
    problems = []
    for row in history:
        file = files.get(row.version)
        problems += _other_than_begun(row, folder)
        if file is None and row.state == "applying":
            problems.append(
                f"{row.version} ({row.description}) is half applied and its file"
                f" {row.file or ''} is gone: restore it and run migrate, or runner repair"
                " --forget it"
            )
        elif row.kind == "versioned" and file is None:
            if parse_version(row.version) > newest:
                if not ahead:
                    problems.append(
                        f"version {row.version} ({row.description}) is applied but newer than every"
                        " file: an older deployment? deploy the newer files, undo it from them, or"
                        " pass --allow-ahead"
                    )
            else:
                problems.append(
                    f"version {row.version} ({row.description}) is applied but its file"
                    f" {row.file or ''} is missing: restore it from version control, or"
                    " runner repair to forget it"
                )
        elif file and changed(file, row):
            problems.append(
                f"{file.name}: changed since it was applied on {row.applied_at:%Y-%m-%d %H:%M}:"
                " restore it and put the change into a new migration, or runner repair to accept it"
            )
    return problems


def runs_by(row: Row, folder: Folder) -> Migration | None:
    """Return the file by which a half-done row goes on."""
    return (folder.undo if row.state == "undoing" else folder.by_key()).get(row.version)


def other_than_begun(file: Migration | None, row: Row) -> bool:
    """Return whether a half-done backfill would go on as another file than it began as."""
    point = row.checkpoint if row.state != "applied" else None
    return bool(file and point and point.checksum != file.checksum)


def _other_than_begun(row: Row, folder: Folder) -> list[str]:
    file = runs_by(row, folder) if row.checkpoint else None
    problem = _changed_half_way(file, row)
    return [problem] if problem else []


def _changed_half_way(file: Migration | None, row: Row) -> str | None:
    if not (file and other_than_begun(file, row)):
        return None
    return (
        f"{file.name}: changed since it began to backfill, and {row.progress()} are"
        " done as it was: restore it; or runner repair, to go on with it as it is now; or runner"
        f" repair --forget {row.version}, to begin anew"
    )


def changed(file: Migration, row: Row) -> bool:
    """Return whether a versioned file is another than was applied."""
    applied = row.kind == "versioned" and row.state == "applied"
    return applied and bool(row.checksum) and row.checksum != file.checksum


def baseline(history: Iterable[Row]) -> Version:
    """Return the newest baselined version: files up to it are taken as applied."""
    return max(
        (parse_version(row.version) for row in history if row.kind == "baseline"), default=()
    )


def newest(history: Iterable[Row]) -> str | None:
    """Return the newest version in force, None where there is none."""
    found = [
        parse_version(row.version)
        for row in history
        if row.kind != "repeatable" and row.state == "applied"
    ]
    return canonical(max(found)) if found else None


def late(
    folder: Folder, history: Sequence[Row], passed_over: Callable[[], set[str] | None]
) -> list[str]:
    """Return warnings about files below the baseline that came after it: they never run.

    Parameters:
        passed_over: gives the versions that the baseline knew, None where that is not known.
    """
    floor, rows = baseline(history), {row.version for row in history}
    below = [m for m in folder.versioned if m.version <= floor and m.key not in rows]
    known = passed_over() if below else None
    return [
        f"{migration.name} is older than the baseline {canonical(floor)} and came after it: it is"
        " never run here; give it a newer version"
        for migration in below
        if known is not None and migration.key not in known
    ]


def _known_target(folder: Folder, rows: dict[str, Row], target: Version | None) -> None:
    if target is None or canonical(target) in rows:
        return
    if target not in {migration.version for migration in folder.versioned}:
        raise ConfigurationError(
            f"there is no version {canonical(target)}", fix="see: runner status"
        )


def _half_undone(history: Iterable[Row]) -> list[str]:
    return [
        f"version {row.version} ({row.description}) is half undone: runner rollback --steps 1 --yes"
        " to go on undoing it, or runner repair"
        for row in history
        if row.state == "undoing"
    ]


def _out_of_order(
    pending: Iterable[Migration], rows: Iterable[Row], policy: Policy
) -> dict[str, str]:
    if policy.out_of_order:
        return {}
    versioned = [row for row in rows if row.kind == "versioned"]
    begun = {row.version for row in versioned}  # what was allowed once may be finished
    newest = max(
        (parse_version(row.version) for row in versioned if row.state == "applied"), default=()
    )
    return {
        migration.key: f"{migration.name}: version {migration.key} is older than"
        f" {canonical(newest)}, which is applied (a parallel branch?): give it a higher number, or"
        " allow it with"
        " --allow-out-of-order or the directive '-- runner: out-of-order'"
        for migration in pending
        if migration.version < newest
        and not migration.directives.out_of_order
        and migration.key not in begun
    }


def _apply(migration: Migration, row: Row | None) -> Task:
    if row is None:
        return Task("apply", migration, "new")
    return Task("apply", migration, f"stopped half-way, {row.progress()} done", row)


def _repeatables(folder: Folder, rows: dict[str, Row]) -> Iterable[Task]:
    for migration in folder.repeatable:
        row = rows.get(migration.key)
        if row is None:
            yield Task("repeat", migration, "new")
        elif row.state != "applied":
            yield Task("repeat", migration, "stopped half-way", row)
        elif row.checksum != migration.checksum:
            yield Task("repeat", migration, "changed" if row.checksum else "after an undo")


def _cannot_undo(row: Row, file: Migration | None, undo: Migration | None) -> str | None:
    if file and file.directives.irreversible:
        return f"{file.name} is irreversible: {file.directives.irreversible}"
    if row.state == "applying":
        how = "backfill" if file and file.directives.in_background else "migrate"
        return f"version {row.version} is half applied: runner {how} to finish it first"
    if undo is None:
        return f"version {row.version} ({row.description}) has no U file"
    return _changed_half_way(undo, row)
