"""Result documents as the commands print them, for the tests of what is made of them."""

from typing import Any, get_args

from runner.result import MemberState

Document = dict[str, Any]

STRONG = "AccessExclusiveLock"
STATES = get_args(MemberState)

BACKFILL = {
    "table": "orders", "key": "id", "batch_size": 5000, "background": False,
    "rows": 420_000, "batches": 84, "rows_left": 580_000, "basis": "statistics",
    "rows_per_second": 38_400.0, "seconds_left": 15.1, "ends_at": "2026-11-22T14:58:10+00:00",
}  # fmt: skip


def document(**changes: Any) -> Document:
    """Return a run that had nothing to do, with changes."""
    plain: Document = {
        "result_version": 1, "command": "migrate", "run_id": "run-1", "outcome": "noop",
        "exit_code": 0, "started_at": "2026-11-22T14:55:50+00:00", "duration_ms": 5210,
        "target": {"dbname": "shop", "host": "db.example", "server_version": "17.7"},
        "applied": [], "pending": [], "warnings": [], "data": None, "error": None,
    }  # fmt: skip
    return {**plain, **changes}


def task(name: str, **changes: Any) -> Document:
    """Return a file that is to run, with changes."""
    plain: Document = {
        "action": "apply", "version": "4", "description": "add status", "file": name,
        "checksum": "sha256:0", "transactional": True, "why": "new",
    }  # fmt: skip
    return {**plain, **changes}


def entry(name: str, **changes: Any) -> Document:
    """Return a migration that was applied in 40 ms, with changes."""
    ran: Document = {
        "duration_ms": 40, "attempts": 1, "notices": [], "locks": [], "rewritten": [],
        "dropped": [], "held_ms": 37,
    }  # fmt: skip
    return {**task(name), **ran, **changes}


def error(kind: str, message: str, **changes: Any) -> Document:
    """Return an error that is not of a migration, with changes."""
    return {"kind": kind, "message": message, "fix": None, "details": [], **changes}


def failure(**changes: Any) -> Document:
    """Return a run that failed at its first file, with changes."""
    failed = {"outcome": "failed", "exit_code": 3, "error": error("migration", "no")}
    return document(**{**failed, **changes})


def run() -> Document:
    """Return a run of two files, one of which touched a table."""
    touched = entry(
        "V004__add_status.sql", duration_ms=120, attempts=3, rewritten=["public.orders"],
        locks=[{"relation": "public.orders", "mode": STRONG}], notices=["skipping"],
    )  # fmt: skip
    return document(outcome="applied", applied=[entry("V003__add_orders.sql"), touched])


def rehearsed() -> Document:
    """Return a rehearsal that went over a limit."""
    held = "V004__add_status.sql held ACCESS EXCLUSIVE on orders for 9.0 s, and 2.0 s is the limit"
    data = {
        "files": run()["applied"], "duration_ms": 160, "temporary_bytes": 24_000_000,
        "grown_bytes": 9_000_000, "fingerprint": "pg17:9f", "over": [held],
    }  # fmt: skip
    return document(
        command="rehearse", outcome="failed", exit_code=7, data=data,
        error=error("refused", "the rehearsal went over 1 limit", details=[held], fix="raise it"),
    )  # fmt: skip


def failed() -> Document:
    """Return a run whose second file failed."""
    found = error(
        "migration", "canceling statement due to lock timeout",
        file="sql/V005__b.sql", line=2, column=1,
        excerpt="     1 | -- why\n     2 | alter table orders add b int;\n       | ^",
        sqlstate="55P03", detail=None, hint="look", context=None, blockers=[],
        details=["blocked by pid 7"], fix="end them, and run again",
    )  # fmt: skip
    left = [task("V005__b.sql"), task("R__views.sql", action="repeat")]
    applied = [entry("V004__a.sql")]
    return document(outcome="failed", exit_code=3, applied=applied, pending=left, error=found)


def verified() -> Document:
    """Return a proof with one migration of each standing."""
    proved = {
        "version": "1", "description": "a", "file": "V001__a.sql", "checksum": "sha256:1",
        "undo": "U001__a.sql", "undo_checksum": "sha256:2", "proved": True, "irreversible": None,
        "problems": [], "up_ms": 20, "down_ms": 6, "up_again_ms": 18, "held_ms": 19.5,
        "locks": [{"relation": "public.orders", "mode": "ShareLock"}],
        "rewritten": [], "dropped": [],
    }  # fmt: skip
    problems = ["after U002__b.sql the schema differs:", "- table public.orders.note: text"]
    wrong = {**proved, "file": "V002__b.sql", "proved": False, "problems": problems}
    gone = {**proved, "file": "V003__c.sql", "undo": None, "undo_checksum": None,
            "proved": False, "irreversible": "the notes are gone"}  # fmt: skip
    data = {"server_version": "17.7", "files": "sha256:3", "assumed": [],
            "migrations": [proved, wrong, gone]}  # fmt: skip
    return document(
        command="verify", outcome="failed", exit_code=7, data=data,
        error=error("refused", "1 of 3 migrations are not proved", fix="mend the U files"),
    )  # fmt: skip


def planned() -> Document:
    """Return a plan with one file of each risk."""
    size = {"relation": "public.orders", "bytes": 44023414784, "rows": 212000000,
            "writes_per_second": 912.3, "reads_per_second": 5400}  # fmt: skip
    block: Document = {
        "file": "V004__a.sql", "version": "4", "description": "a", "action": "apply",
        "transactional": True, "why": "new", "irreversible": "gone is gone",
        "may_lose": True,
        "takes": {"ms": 400_000, "least_ms": 250_000, "most_ms": 900_000, "runs": 2},
        "sql": "-- the app of 3.2 reads it\nalter table orders add b int default 7;\n"
               "update orders set note = 'none';\n",
        "risk": "block",
        "risks": ["ACCESS EXCLUSIVE on orders, 41 GB, 900 writes/s, table rewrite: block"],
        "hazards": [],
        "locks": [{"relation": "public.orders", "mode": STRONG, "rewrite": True}],
        "relations": [size],
    }  # fmt: skip
    notice = {**block, "file": "V005__b.sql", "risk": "notice", "irreversible": None,
              "may_lose": False, "transactional": False, "takes": None}  # fmt: skip
    calm = {**block, "file": "R__v.sql", "action": "repeat", "risk": "none", "risks": [],
            "locks": [], "relations": [], "irreversible": None, "may_lose": False,
            "takes": {"ms": 0, "least_ms": 0, "most_ms": 0, "runs": 0}}  # fmt: skip
    longest = {"pid": 4711, "user": "app", "application": "web", "state": "active",
               "query": "select 1 for update", "seconds": 912.0}  # fmt: skip
    data = {"digest": "sha256:" + "9f" * 32, "runner": None, "longest_transaction": longest,
            "files": [block, notice, calm]}  # fmt: skip
    pending = [task(file["file"], action=file["action"]) for file in data["files"]]
    return document(command="plan", outcome="planned", data=data, pending=pending)


def standing(version: str, state: str, **changes: Any) -> Document:
    """Return where a migration stands that was applied, with changes."""
    plain: Document = {
        "version": version, "description": "add orders", "state": state, "undo": True,
        "file": f"V{version}__add_orders.sql", "applied_at": "2026-11-22T14:55:50+00:00",
        "applied_by": "migrator", "run_id": "run-1", "duration_ms": 40,
    }  # fmt: skip
    return {**plain, **changes}


def status() -> Document:
    """Return a database with a migration that is applied and one that is pending."""
    pending = standing(
        "2", "pending", undo=False, applied_at=None, applied_by=None, run_id=None, duration_ms=None
    )
    return document(command="status", data=[standing("1", "applied"), pending])


def history() -> Document:
    """Return a history of one migration and one change by hand."""
    applied = {
        "at": "2026-11-22T14:55:50.123456+00:00", "action": "apply", "version": "1",
        "description": "add orders", "file": "V1__add_orders.sql", "checksum": "sha256:0",
        "run_id": "run-1", "by": "migrator", "duration_ms": 40, "details": None,
    }  # fmt: skip
    none = dict.fromkeys(("description", "file", "checksum", "duration_ms"))
    mended = {**applied, **none, "action": "repair", "details": {"was": "1"}}
    return document(command="history", data=[applied, mended])


def linted() -> Document:
    """Return what lint objects to in one file."""
    found = {"file": "V1__a.sql", "line": 3, "column": 1, "rule": "drop-column",
             "message": "dropping a column breaks who still reads it",
             "fix": "drop it in a later release",
             "safe": "-- in two files\nalter table orders drop b;"}  # fmt: skip
    return document(
        command="lint", outcome="failed", exit_code=7, target={}, data=[found],
        error=error("refused", "1 finding", fix="mend the files"),
    )  # fmt: skip


def validated() -> Document:
    """Return an offline look at files that are fine."""
    return document(command="validate", target={})


def repaired() -> Document:
    """Return a change of the history."""
    said = ["forget version 3 (add orders): its file is gone"]
    return document(command="repair", outcome="applied", data=said)


def unrepaired() -> Document:
    """Return the same change, which waits for a yes."""
    return {**repaired(), "outcome": "planned"}


def carried() -> Document:
    """Return a run that left nothing, and says of which files."""
    return document(data={"files": "sha256:4"})


def undoing() -> Document:
    """Return a rollback that says what it would undo and lose, and waits for a yes."""
    plan = planned()
    for file in (*plan["data"]["files"], *plan["pending"]):
        file["action"], file["file"] = "undo", f"U{file['file'][1:]}"
        file["why"] = "asked for"
    lost = {"kind": "data", "text": "drops table orders (212,000,000 rows, 41 GB)"}
    plan["data"]["files"][0]["hazards"] = [lost]
    plan["data"]["files"][0]["risks"].append(lost["text"])
    return {**plan, "command": "rollback"}


def undone() -> Document:
    """Return a rollback of one file."""
    gone = entry("U004__a.sql", action="undo", why="asked for", dropped=["public.orders"])
    return document(command="rollback", outcome="applied", applied=[gone])


def drifted() -> Document:
    """Return a database in which somebody made an index."""
    return document(
        command="drift", outcome="failed", exit_code=6, data=["+ index public.hacked on customer"],
        error=error("validation", "the schema was changed by other means", fix="look at it"),
    )  # fmt: skip


def incomplete() -> Document:
    """Return a run that its deadline stopped."""
    found = error("incomplete", "the deadline came before V004__a.sql", fix="run again")
    return document(
        outcome="incomplete", exit_code=8, applied=[entry("V003__b.sql")],
        pending=[task("V004__a.sql")], error=found,
    )  # fmt: skip


def backfilling() -> Document:
    """Return a run whose backfill stopped at the deadline."""
    left = task("V005__fill.sql", transactional=False, backfill=dict(BACKFILL))
    found = error("incomplete", "V005__fill.sql stopped at the deadline")
    return document(outcome="incomplete", exit_code=8, pending=[left], error=found)


def holding() -> Document:
    """Return a run that went on beside a backfill."""
    begun = task("V005__fill.sql", transactional=False, backfill=dict(BACKFILL), why="goes on")
    waits = task("V006__not_null.sql", why="waits for V005__fill.sql, for it names orders")
    return document(outcome="applied", applied=[entry("V007__b.sql")], held=[begun, waits])


def unreachable() -> Document:
    """Return a command whose server did not answer."""
    found = error("unreachable", "cannot connect to db.example:5432", fix="check host and port")
    return document(command="status", outcome="failed", exit_code=9, error=found)


def made() -> Document:
    """Return files that were made."""
    said = ["sql/V004__a.sql", "sql/U004__a.sql"]
    return document(command="new", outcome="applied", target={}, data=said)


def member(name: str, state: str, **changes: Any) -> Document:
    """Return a target of a fleet, with changes."""
    plain: Document = {
        "name": name, "target": {"dbname": "shop", "host": "db.example", "schema": name},
        "state": state, "exit_code": 0, "version": "4", "applied": 0, "pending": 0,
        "duration_ms": 40, "error": None,
    }  # fmt: skip
    return {**plain, **changes}


def fleet() -> Document:
    """Return a fleet's run in which two targets failed."""
    members = [
        member("tenant_1", "current", applied=2),
        member("tenant_2", "failed", version="3", exit_code=3, error="V004__a.sql: it is there"),
        member("tenant_3", "unreachable", version=None, exit_code=9, error="no route to host"),
        member("tenant_4", "not started", version=None, exit_code=None),
    ]
    said = "4 targets: 1 failed, 1 unreachable, 1 not started, 1 current (2 failed, and 1 may)"
    return document(
        command="fleet migrate", outcome="failed", exit_code=3, target={},
        data={"files": "sha256:3", "groups": [], "members": members},
        error=error("migration", said, fix="mend that, and run again"),
    )  # fmt: skip


def fleet_planned() -> Document:
    """Return the plan of a fleet whose targets are in two states."""
    members = [member("tenant_1", "behind", pending=1), member("tenant_2", "current")]
    groups = [
        {"digest": "fleet:sha256:1", "version": "3", "files": ["V004__a.sql"], "targets": 1,
         "examples": ["tenant_1"], "held": 1, "plan": planned()["data"]},
        {"digest": "fleet:sha256:2", "version": "4", "files": [], "targets": 1,
         "examples": ["tenant_2"]},
    ]  # fmt: skip
    data = {"files": "sha256:3", "groups": groups, "members": members}
    return document(command="fleet plan", outcome="planned", target={}, data=data)


def fleet_status() -> Document:
    """Return a fleet that is up to date."""
    data = {"files": "sha256:3", "groups": [], "members": [member("tenant_1", "current")]}
    return document(command="fleet status", target={}, data=data)


ALL = {
    "fleet": fleet, "fleet_planned": fleet_planned, "fleet_status": fleet_status,
    "undoing": undoing, "undone": undone, "drifted": drifted, "incomplete": incomplete,
    "backfilling": backfilling, "holding": holding,
    "unreachable": unreachable, "made": made,
    "run": run, "carried": carried, "failed": failed, "verified": verified, "planned": planned,
    "rehearsed": rehearsed,
    "noop": document,
    "status": status, "history": history, "linted": linted, "validated": validated,
    "repaired": repaired, "unrepaired": unrepaired,
}  # fmt: skip


def everywhere(found: Any, text: str) -> Any:
    """Return a document with a text in the place of every text that the target or a file gave."""
    kept = {"command", "outcome", "kind", "risk", "mode", "action", "started_at"}
    if isinstance(found, dict):
        return {
            key: value if key in kept or value in STATES else everywhere(value, text)
            for key, value in found.items()
        }
    if isinstance(found, list):
        return [everywhere(value, text) for value in found]
    return text if isinstance(found, str) else found
