"""Result documents as the commands print them, for the tests of what is made of them."""

from typing import Any

Document = dict[str, Any]

STRONG = "AccessExclusiveLock"


def document(**changes: Any) -> Document:
    """Return a run that had nothing to do, with changes."""
    plain: Document = {
        "result_version": 1, "command": "migrate", "run_id": "run-1", "outcome": "noop",
        "exit_code": 0, "started_at": "2026-11-22T14:55:50+00:00", "duration_ms": 5210,
        "target": {"dbname": "shop", "host": "db.example", "server_version": "17.7"},
        "applied": [], "pending": [], "warnings": [], "data": None, "error": None,
    }  # fmt: skip
    return {**plain, **changes}


def entry(name: str, **changes: Any) -> Document:
    """Return a migration that was applied in 40 ms, with changes."""
    plain: Document = {
        "action": "apply", "version": "4", "description": "add status", "file": name,
        "checksum": "sha256:0", "transactional": True, "why": "new", "duration_ms": 40,
        "attempts": 1, "notices": [], "locks": [], "rewritten": [], "held_ms": 37,
    }  # fmt: skip
    return {**plain, **changes}


def run() -> Document:
    """Return a run of two files, one of which touched a table."""
    touched = entry(
        "V004__add_status.sql", duration_ms=120, attempts=3, rewritten=["public.orders"],
        locks=[{"relation": "public.orders", "mode": STRONG}], notices=["skipping"],
    )  # fmt: skip
    return document(outcome="applied", applied=[entry("V003__add_orders.sql"), touched])


def failed() -> Document:
    """Return a run whose second file failed."""
    error = {
        "kind": "migration", "message": "canceling statement due to lock timeout",
        "file": "sql/V005__b.sql", "line": 2, "column": 1,
        "excerpt": "     1 | -- why\n     2 | alter table orders add b int;\n       | ^",
        "sqlstate": "55P03", "detail": None, "hint": "look", "context": None, "blockers": [],
        "details": ["blocked by pid 7"], "fix": "end them, and run again",
    }  # fmt: skip
    left = [{"file": "V005__b.sql"}, {"file": "R__views.sql"}]
    applied = [entry("V004__a.sql")]
    return document(outcome="failed", exit_code=3, applied=applied, pending=left, error=error)


def verified() -> Document:
    """Return a proof with one migration of each standing."""
    proved = {
        "version": "1", "description": "a", "file": "V001__a.sql", "undo": "U001__a.sql",
        "proved": True, "irreversible": None, "problems": [], "up_ms": 20, "down_ms": 6,
        "up_again_ms": 18, "locks": [{"relation": "public.orders", "mode": "ShareLock"}],
        "rewritten": [],
    }  # fmt: skip
    problems = ["after U002__b.sql the schema differs:", "- table public.orders.note: text"]
    wrong = {**proved, "file": "V002__b.sql", "proved": False, "problems": problems}
    gone = {**proved, "file": "V003__c.sql", "undo": None, "proved": False,
            "irreversible": "the notes are gone"}  # fmt: skip
    error = {"kind": "refused", "message": "1 of 3 migrations are not proved",
             "fix": "mend the U files", "details": []}  # fmt: skip
    data = {"server_version": "17.7", "migrations": [proved, wrong, gone]}
    return document(command="verify", outcome="failed", exit_code=7, data=data, error=error)


def planned() -> Document:
    """Return a plan with one file of each risk."""
    size = {"relation": "public.orders", "bytes": 44023414784, "rows": 212000000,
            "writes_per_second": 912.3, "reads_per_second": 5400}  # fmt: skip
    block: Document = {
        "file": "V004__a.sql", "version": "4", "description": "a", "action": "apply",
        "transactional": True, "why": "new", "irreversible": "gone is gone",
        "sql": "alter table orders add b int;\n", "risk": "block",
        "risks": ["ACCESS EXCLUSIVE on orders, 41 GB, 900 writes/s, table rewrite: block"],
        "locks": [{"relation": "public.orders", "mode": STRONG, "rewrite": True}],
        "relations": [size],
    }  # fmt: skip
    notice = {**block, "file": "V005__b.sql", "risk": "notice", "irreversible": None,
              "transactional": False}  # fmt: skip
    calm = {**block, "file": "R__v.sql", "risk": "none", "risks": [], "locks": [],
            "relations": [], "irreversible": None}  # fmt: skip
    longest = {"pid": 4711, "user": "app", "application": "web", "seconds": 912.0,
               "query": "select 1 for update"}  # fmt: skip
    data = {"digest": "sha256:" + "9f" * 32, "longest_transaction": longest,
            "files": [block, notice, calm]}  # fmt: skip
    return document(command="plan", outcome="planned", data=data,
                    pending=[{"file": file["file"]} for file in data["files"]])  # fmt: skip


ALL = {"run": run, "failed": failed, "verified": verified, "planned": planned, "noop": document}


def everywhere(found: Any, text: str) -> Any:
    """Return a document with a text in the place of every text that the target or a file gave."""
    kept = {"command", "outcome", "kind", "risk", "mode", "action", "started_at"}
    if isinstance(found, dict):
        return {
            key: value if key in kept else everywhere(value, text) for key, value in found.items()
        }
    if isinstance(found, list):
        return [everywhere(value, text) for value in found]
    return text if isinstance(found, str) else found
