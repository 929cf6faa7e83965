"""What a plan will do to this database: sizes and traffic of its tables, the risk in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from runner.database.session import Session
from runner.database.watch import longest_transaction
from runner.engine.job import Job
from runner.syntax import statements
from runner.syntax.locks import (
    ALL,
    EXCLUSIVE,
    ROW,
    SHARE,
    SHARE_ROW,
    Expected,
    expect_all,
    is_opaque,
)

# A table of this size is rewritten or read in a moment: bytes, and accesses per second.
_SMALL = 64 << 20
_HUGE = 4 << 30
_BUSY = 1.0
_SQL = 20_000  # characters of a file that a plan carries; a Lambda's answer has its limit

# Traffic since the statistics were reset, or since the server began to keep them; a rate over
# less than a minute says nothing.
_RELATIONS = """
    select w.name, pg_catalog.pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint,
           coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0) / since.seconds,
           coalesce(s.seq_scan + coalesce(s.idx_scan, 0), 0) / since.seconds
    from unnest(%s::text[]) w (name)
    join pg_catalog.pg_class c on c.oid = pg_catalog.to_regclass(w.name)
    left join pg_catalog.pg_stat_user_tables s on s.relid = c.oid
    cross join (
        select greatest(60, extract(epoch from clock_timestamp() - coalesce(
            stats_reset, pg_catalog.pg_postmaster_start_time())))::float8 as seconds
        from pg_catalog.pg_stat_database where datname = current_database()) since
"""

_WORDS = {
    ALL: "ACCESS EXCLUSIVE", EXCLUSIVE: "EXCLUSIVE", SHARE_ROW: "SHARE ROW EXCLUSIVE",
    SHARE: "SHARE", ROW: "ROW EXCLUSIVE",
}  # fmt: skip
_LEVELS = ("none", "notice", "block")


def document(session: Session, jobs: Sequence[Job]) -> dict[str, Any]:
    """Return the plan as the result document carries it."""
    locks = {job.migration.key: expect_all(job.text) for job in jobs}
    names = sorted({lock.relation for found in locks.values() for lock in found})
    relations = _relations(session, names)
    return {
        "digest": digest(jobs, session.server.database),
        "longest_transaction": _longest(session),
        "files": [_file(job, locks[job.migration.key], relations) for job in jobs],
    }


def _longest(session: Session) -> dict[str, Any] | None:
    found = longest_transaction(session.connection)
    if found is None:
        return None
    shown = {name: found[name] for name in ("pid", "user", "application", "state", "query")}
    return {**shown, "seconds": round(found["transaction_seconds"], 1)}


def digest(jobs: Iterable[Job], database: str) -> str:
    """Return the digest of exactly what would run, where, and how: what an approver approves."""
    content = [
        [job.step.action, job.migration.name, job.migration.checksum, job.transactional]
        for job in jobs
    ]
    text = json.dumps([database, content], separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _relations(session: Session, names: list[str]) -> dict[str, dict[str, Any]]:
    with session.connection.cursor() as cursor:
        cursor.execute(_RELATIONS, (names,))
        return {
            name: {
                "relation": name,
                "bytes": size,
                "rows": rows,
                "writes_per_second": round(writes, 2),
                "reads_per_second": round(reads, 2),
            }
            for name, size, rows, writes, reads in cursor
        }


def _file(job: Job, locks: list[Expected], relations: dict[str, dict[str, Any]]) -> dict[str, Any]:
    migration = job.migration
    # What is not there yet is made by the plan itself, and nobody waits for it.
    there = [lock for lock in locks if lock.relation in relations]
    judged = [_judge(lock, relations[lock.relation]) for lock in there]
    risks = [text for level, text in judged if level != "none"]
    if any(is_opaque(statement) for statement in statements.scan(job.text)):
        risks.append("runs code whose locks its text does not tell: rehearse it")
    worst = max((_LEVELS.index(level) for level, _ in judged), default=0)
    return {
        "file": migration.name,
        "version": migration.key,
        "description": migration.description,
        "action": job.step.action,
        "transactional": job.transactional,
        "why": job.step.why,
        "irreversible": migration.directives.irreversible,
        "sql": job.text[:_SQL],
        "risk": _LEVELS[max(worst, 1 if risks else 0)],
        "risks": risks,
        "locks": [
            {"relation": lock.relation, "mode": lock.mode, "rewrite": lock.rewrite}
            for lock in there
        ],
        "relations": [relations[lock.relation] for lock in there],
    }


def _judge(lock: Expected, relation: dict[str, Any]) -> tuple[str, str]:
    """Return the level of a lock's risk and say it in words.

    What works on the table while the lock is held takes as long as the table is large; what
    only takes the lock takes a moment, and gives way after lock_timeout.
    """
    long = lock.rewrite or lock.scan
    stops_writes = lock.mode in {SHARE, SHARE_ROW, EXCLUSIVE, ALL}
    busy = relation["writes_per_second"] >= _BUSY or (
        lock.mode == ALL and relation["reads_per_second"] >= _BUSY
    )
    size = relation["bytes"]
    level = "none"
    if stops_writes and long and (size >= _HUGE or (size >= _SMALL and busy)):
        level = "block"
    elif stops_writes and (busy or (long and size >= _SMALL)):
        level = "notice"
    work = {(True, True): "table rewrite", (True, False): "table rewrite",
            (False, True): "full read"}.get((lock.rewrite, lock.scan), "a moment")  # fmt: skip
    words = _WORDS.get(lock.mode, "SHARE UPDATE EXCLUSIVE")
    writes, reads = relation["writes_per_second"], relation["reads_per_second"]
    traffic = f"{writes:.0f} writes/s, {reads:.0f} reads/s"
    return level, f"{words} on {lock.relation}, {_size(size)}, {traffic}, {work}: {level}"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024:  # noqa: PLR2004
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
