"""Runs again after an event, as a person would, and says what is not as it must be."""

from __future__ import annotations

import time

import psycopg2

from runner.database.catalog import describe, differences
from runner.errors import EXIT_CODES
from torture.kinds import EDITED, Kind
from torture.scene import Scene
from torture.world import LOGIN, PASSWORD, Ended

_TRIES = 8  # runs after which a person would give up
_ATTENTION = 4
_REFUSED = {2, 6}
_LATE = 20.0  # seconds that a machine with far too much to do may add to a deadline
_LINGERING = 15.0  # seconds after which a session of a runner that is gone must be gone

_HALF_DONE = """
    select version, state, step_in_doubt is not null, cardinality(steps)
    from public.schema_version where state <> 'applied' order by version
"""
_MARKS = "select version::text, array_agg(part order by part) from mark group by version"
_SESSIONS = (
    "select count(*) from pg_stat_activity where application_name like"
    " 'schema-migrations/%' and datname = current_database()"
)
_LEFT = {
    "sessions": _SESSIONS,
    # Only a superuser could drop those of a table's TOAST, and none runs here.
    "invalid indexes": (
        "select count(*) from pg_index i join pg_class c on c.oid = i.indexrelid"
        " where not i.indisvalid and c.relnamespace <> 'pg_toast'::regnamespace"
    ),
    "locks of the runner": "select count(*) from pg_locks where locktype = 'advisory'"
    " and database = (select oid from pg_database where datname = current_database())",
    "temporary tables": "select count(*) from pg_class where relpersistence = 't'",
}


def judge(scene: Scene, kind: Kind, ended: Ended | None) -> None:
    """Add what is wrong after an event to the scene's violations."""
    scene.world.await_server()
    judge_run(scene, ended, kind.codes)
    if ended and scene.deadline is not None and ended.seconds > scene.deadline + _LATE:
        scene.violations.append(
            f"ran {ended.seconds:.1f} s, though {scene.deadline:.1f} s were all it had"
        )
    for rival in scene.rivals:
        judge_run(scene, rival.wait(), kind.rivals)
    scene.query(f"alter role {LOGIN} password '{PASSWORD}' connection limit -1")
    if kind.connections is not None:
        _judge_connections(scene, kind.connections * (1 + len(scene.rivals)))
    if scene.variant.command[0] == "rollback":
        _finish_rollback(scene)
    _migrate(scene)
    _judge_state(scene)


def judge_run(scene: Scene, ended: Ended | None, codes: frozenset[int]) -> None:
    """Hold one run's exit code, words and document against what is documented, and the history.

    Parameters:
        ended: how it ended, None where it hangs.
        codes: the exit codes that are right.
    """
    if ended is None:
        scene.violations.append("the run hangs")
        return
    said = (ended.document or {}).get("error") or {}
    if ended.code not in codes or (ended.code >= 0 and ended.code not in EXIT_CODES):
        scene.violations.append(f"exit code {ended.code}: {said.get('message') or ended.said}")
    if "Traceback" in ended.said:
        scene.violations.append(f"traceback: {ended.said[-1500:]}")
    if ended.code < 0:
        return
    if ended.document is None:
        scene.violations.append(f"no result document, exit code {ended.code}: {ended.said}")
        return
    told = sorted((entry["action"], entry["file"]) for entry in ended.document["applied"])
    logged = _logged(scene, ended.run_id)
    if told != logged and not (ended.code == 9 and set(told) <= set(logged)):  # noqa: PLR2004
        scene.violations.append(
            f"exit code {ended.code} ({said.get('message')}): says it did {told}, the history"
            f" {logged}"
        )


def _judge_connections(scene: Scene, most: int) -> None:
    """Hold the runs against the connections that they may have made in all, beside our own."""
    made = scene.query("select sessions from pg_stat_database where datname = current_database()")[
        0
    ][0]
    if made > most:
        scene.violations.append(f"{made} connections were made, which should be {most} at most")


def _logged(scene: Scene, run_id: str) -> list[tuple[str, str]]:
    try:
        return sorted(
            (action, file)
            for action, file in scene.query(
                "select action, file from public.schema_version_log"
                f" where run_id = '{run_id}' and action in ('apply', 'undo', 'repeat')"
            )
        )
    except psycopg2.errors.UndefinedTable:
        return []


def _finish_rollback(scene: Scene) -> None:
    """Run a rollback again until it has done what it was to do, and no more."""
    goal = scene.variant.goal
    for _ in range(_TRIES):
        if _in_force(scene) == goal and not scene.query(_HALF_DONE):
            return
        ended = scene.run(*scene.variant.command)
        judge_run(scene, ended, frozenset({0, _ATTENTION}))
        if ended.code == _ATTENTION:
            _decide(scene, ended)
    scene.violations.append(f"rolled back to {_in_force(scene)} versions instead of {goal}")


def _in_force(scene: Scene) -> int:
    found = scene.query("select count(*) from public.schema_version where kind = 'versioned'")
    return int(found[0][0])


def _migrate(scene: Scene) -> None:
    """Run until everything is applied, and once more: then there is nothing to do."""
    for _ in range(_TRIES):
        ended = scene.run("migrate")
        judge_run(scene, ended, frozenset({0, _ATTENTION, *_REFUSED}))
        if not ended.code:
            break
        if ended.code in _REFUSED:
            _put_back(scene, ended)
        else:
            _decide(scene, ended)
    else:
        scene.violations.append("is never done")
        return
    again = scene.run("migrate", "--on-drift", "fail")
    if again.code or (again.document or {}).get("outcome") != "noop":
        scene.violations.append(f"is not done when it is: {again.code} {again.document}")


def _put_back(scene: Scene, refused: Ended) -> None:
    """Put files back as they were, where somebody changed some."""
    same = True
    for name, text in scene.variant.folder.files.items():
        path = scene.files / name
        same &= path.exists() and path.read_text() == text
        path.write_text(text)
    if same:
        error = (refused.document or {}).get("error") or {}
        scene.violations.append(f"files are refused that nobody changed: {error}")


def _decide(scene: Scene, ended: Ended) -> None:
    """Decide as a person what nothing else can tell, by a look at the marks."""
    changed = any(
        not (scene.files / name).exists() or (scene.files / name).read_text() != text
        for name, text in scene.variant.folder.files.items()
    )
    for version, _, doubtful, _ in scene.query(_HALF_DONE):
        if not doubtful:
            continue
        if not scene.variant.folder.known[version].asks:
            error = (ended.document or {}).get("error") or {}
            scene.violations.append(
                f"asks about version {version}, which the catalog tells: {error.get('message')}"
            )
        parts = set(dict(scene.query(_MARKS)).get(version, []))
        if parts >= {1, 2}:
            scene.run("repair", "--done", version, "--yes")
        else:
            scene.query(f"delete from mark where version = {version}")
            scene.run("repair", "--again", version, "--yes")
    if changed:
        for name, text in scene.variant.folder.files.items():
            (scene.files / name).write_text(text)


def _judge_state(scene: Scene) -> None:
    """Compare the database with one in which nothing happened."""
    _judge_schema(scene)
    _judge_history(scene)
    _judge_marks(scene)
    until = time.monotonic() + _LINGERING
    while scene.query(_SESSIONS)[0][0] and time.monotonic() < until:
        time.sleep(0.05)
    for name, sql in _LEFT.items():
        if count := scene.query(sql)[0][0]:
            scene.violations.append(f"{count} {name} are left")


def _judge_schema(scene: Scene) -> None:
    found = differences(scene.variant.whole, scene.schema())
    if found:
        scene.violations.append(f"the schema differs: {'; '.join(describe(found)[:6])}")


def _judge_history(scene: Scene) -> None:
    known = scene.variant.folder.known
    rows = scene.query("select version, state from public.schema_version where kind = 'versioned'")
    if dict(rows) != dict.fromkeys(known, "applied"):
        scene.violations.append(f"the history says {rows}")
    counted = scene.query(
        "select version, count(*) filter (where action = 'apply')"
        " - count(*) filter (where action = 'undo') from public.schema_version_log"
        " where action in ('apply', 'undo') group by version"
    )
    if dict(counted) != dict.fromkeys(known, 1):
        scene.violations.append(f"the log says {counted}")


def _judge_marks(scene: Scene) -> None:
    """Compare what the files left with the texts that the history says were run."""
    found: dict[str, list[int]] = dict(scene.query(_MARKS))
    checksums = dict(scene.query("select version, checksum from public.schema_version"))
    for name, version in scene.variant.folder.known.items():
        expected = list(range(1, version.marks + 1))
        if checksums.get(name) != scene.variant.checksums[name]:
            expected.insert(0, EDITED)
        left = found.get(name)
        if left and version.batched:
            left = [*{EDITED} & {*left}, *(mark for mark in left if mark != EDITED)]
        if left != expected:
            scene.violations.append(f"version {name} left {found.get(name)}, not {expected}")
