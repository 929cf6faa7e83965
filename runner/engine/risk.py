"""What a plan will do to this database: sizes and traffic of its tables, the risk in words."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, NotRequired, TypedDict

import psycopg2

from runner.database.session import Session
from runner.database.sessions import longest_transaction
from runner.engine import foresight
from runner.engine.estimate import Pace, Work, estimate, paces
from runner.engine.job import Job
from runner.engine.once import FLEET
from runner.engine.rewrites import settled
from runner.files.code import code_digest
from runner.history.read import slow
from runner.history.table import Row
from runner.report.wording import blocks, many, size
from runner.result import Backfill, Hazard, Open, Plan, Planned, Relation, Risk
from runner.syntax.hazards import Hazard as Seen
from runner.syntax.hazards import hazards_of
from runner.syntax.locks import Expected, is_opaque, locks_of, stronger
from runner.syntax.modes import ALL, SHARE, level, words
from runner.syntax.scanner import scan

# A table of this size is rewritten or read in a moment: bytes, and accesses per second.
_SMALL = 64 << 20
_HUGE = 4 << 30
_BUSY = 1.0
_TELLING = 1_000  # entries of the log that tell how fast work went here
_SQL = 20_000  # characters of a file that a plan carries; a Lambda's answer has its limit

# The size is behind a lock where somebody rewrites the table; what the last VACUUM saw is not.
_SIZE = "pg_catalog.pg_total_relation_size(c.oid)"
_SIZE_SEEN = "c.relpages::bigint * pg_catalog.current_setting('block_size')::int"

# A rate takes two looks: counters outlive a restart, and nothing says since when they count. A
# session that is at work adds to them about once a second (PGSTAT_MIN_INTERVAL in pgstat.c).
_WINDOW = 2.0  # seconds

_RELATIONS = """
    select w.name, {size}, greatest(c.reltuples, s.n_live_tup, 0)::bigint,
           coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0),
           coalesce(s.seq_scan + coalesce(s.idx_scan, 0), 0)
    from unnest(%s::text[], %s::oid[]) w (name, id)
    join pg_catalog.pg_class c on c.oid = w.id
    left join pg_catalog.pg_stat_user_tables s on s.relid = c.oid
"""

_LEVELS: tuple[Risk, ...] = ("none", "notice", "block")
_STOPS_WRITES = level(SHARE)


class _Text(NamedTuple):
    """What the text of a file tells: its locks, its hazards, whether it runs code that hides both.

    Both are what its statements say once, however often they say it.
    """

    locks: list[Expected]
    hazards: list[Seen]
    opaque: bool


def document(
    session: Session,
    jobs: Sequence[Job],
    rows: Iterable[Row],
    throttle: str,
    *,
    after_deploy: bool = False,
) -> Plan:
    """Return the plan as the result document carries it.

    Parameters:
        rows: the history that the jobs were planned on.
        throttle: what slows backfills down, in words.
        after_deploy: it is of what runs when the new code is there.
    """
    backfills = foresight.expected(session, jobs)
    read = [_look(job) for job in jobs]
    relations = _relations(session, sorted({lock.relation for one in read for lock in one.locks}))
    read = [one._replace(locks=settled(session, one.locks)) for one in read]
    known = paces(slow(session, _TELLING) if relations else ())
    return {
        "digest": digest(jobs, place(session), rows, after_deploy=after_deploy),
        **_phase(after_deploy=after_deploy),
        "runner": code_digest(),
        "longest_transaction": _longest(session),
        "files": [
            _backfilled(_file(job, one, relations, known), backfills, throttle)
            for job, one in zip(jobs, read, strict=True)
        ],
    }


def _backfilled(file: Planned, backfills: Mapping[str, Backfill], throttle: str) -> Planned:
    if found := backfills.get(file["file"]):
        file["backfill"], file["throttle"], file["takes"] = found, throttle, None
    return file


def losing(session: Session, jobs: Sequence[Job]) -> list[str]:
    """Return the names of the files that may lose what no undo brings back."""
    read = [_look(job) for job in jobs]
    names = sorted({hazard.relation for one in read for hazard in one.hazards if hazard.relation})
    known = zip(names, session.resolve_for_files(names), strict=True)
    there = {name for name, oid in known if oid is not None}
    both = zip(jobs, read, strict=True)
    return [job.migration.name for job, found in both if _loses(job, found, there)]


def _loses(job: Job, found: _Text, there: Container[str]) -> bool:
    """Return whether a file may lose what no undo brings back; of code nothing else is known.

    Parameters:
        there: the relations that are there; what is lost of others, the plan itself made.
    """
    lost = (seen for seen in found.hazards if seen.kind == "data")
    return (
        bool(job.migration.directives.irreversible)
        or found.opaque
        or any(seen.relation is None or seen.relation in there for seen in lost)
    )


def first(jobs: Sequence[Job], database: str, *, after_deploy: bool = False) -> Plan:
    """Return the plan for a database that is still to be made: nothing is there to wait for."""
    return {
        "digest": digest(jobs, database, (), after_deploy=after_deploy),
        **_phase(after_deploy=after_deploy),
        "runner": None,
        "longest_transaction": None,
        "files": [_file(job, _look(job), {}, paces(())) for job in jobs],
    }


class _Phase(TypedDict):
    after_deploy: NotRequired[Literal[True]]


def _phase(*, after_deploy: bool) -> _Phase:
    return {"after_deploy": True} if after_deploy else {}


def _longest(session: Session) -> Open | None:
    found = longest_transaction(session.connection)
    if found is None:
        return None
    return {
        "pid": found["pid"],
        "user": found["user"],
        "application": found["application"],
        "state": found["state"],
        "query": found["query"],
        "seconds": round(found["transaction_seconds"] or 0, 1),
    }


def place(session: Session) -> str | list[str]:
    """Return where a plan is for, as its digest has it."""
    schema = session.target.schema
    return [session.server.database, schema] if schema else session.server.database


def digest(
    jobs: Iterable[Job],
    where: str | list[str],
    rows: Iterable[Row],
    *,
    after_deploy: bool = False,
) -> str:
    """Return the digest of exactly what would run, where, and how: what an approver approves.

    Parameters:
        where: the name of the database, and of the schema where it is for one.
        rows: the history that the jobs were planned on. Sizes and traffic are not of it: they
            change by themselves.
        after_deploy: it is of what runs when the new code is there, which nobody has approved who
            approved what runs before, though the files be the same.
    """
    content = [
        [job.task.action, job.migration.name, job.migration.checksum, job.transactional]
        for job in jobs
    ]
    history = [[row.version, row.kind, row.state, row.checksum, len(row.steps)] for row in rows]
    phase = ["after deploy"] if after_deploy else []
    text = json.dumps([where, history, content, *phase], separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def fleet_digest(jobs: Iterable[Job], rows: Iterable[Row], *, after_deploy: bool = False) -> str:
    """Return the digest of exactly what would run, and how, in any target in the same state.

    Approved, it lets the same files run wherever they would run on the same history.
    """
    return FLEET + digest(jobs, [], rows, after_deploy=after_deploy)


class _Counted(NamedTuple):
    """What the server counts of a table; `at` is when, in seconds of a clock that nobody sets."""

    at: float
    bytes: int
    rows: int
    writes: int
    reads: int


def _relations(session: Session, names: list[str]) -> dict[str, Relation]:
    """Return size and traffic of the relations that are there."""
    found = session.resolve_for_files(names)
    if not any(found):
        return {}
    before = _counted(session, names, found)
    time.sleep(_WINDOW)
    after = _counted(session, names, found)
    return {name: _relation(name, before[name], after[name]) for name in before.keys() & after}


def _counted(
    session: Session, names: list[str], found: Sequence[int | None]
) -> dict[str, _Counted]:
    with session.connection.cursor() as cursor:
        try:
            cursor.execute(_RELATIONS.format(size=_SIZE), (names, found))
        except psycopg2.errors.LockNotAvailable:
            cursor.execute(_RELATIONS.format(size=_SIZE_SEEN), (names, found))
        at = time.monotonic()
        return {name: _Counted(at, *counts) for name, *counts in cursor}


def _relation(name: str, before: _Counted, after: _Counted) -> Relation:
    def rate(first: int, last: int) -> float:
        return round(max(0, last - first) / (after.at - before.at), 2)  # 0 where it was reset

    return {
        "relation": name,
        "bytes": after.bytes,
        "rows": after.rows,
        "writes_per_second": rate(before.writes, after.writes),
        "reads_per_second": rate(before.reads, after.reads),
    }


def _look(job: Job) -> _Text:
    locks: dict[str, Expected] = {}
    hazards: dict[Seen, None] = {}
    opaque = False
    for piece in job.pieces():
        for statement in scan(piece.sql):
            for lock in locks_of(statement):
                locks[lock.relation] = stronger(lock, locks.get(lock.relation))
            hazards.update(dict.fromkeys(hazards_of(statement)))
            opaque = opaque or is_opaque(statement)
    return _Text([*locks.values()], [*hazards], opaque)


def _file(
    job: Job, found: _Text, relations: dict[str, Relation], known: Mapping[Work, Pace]
) -> Planned:
    migration = job.migration
    # What is not there yet is made by the plan itself, and nobody waits for it.
    there = [lock for lock in found.locks if lock.relation in relations]
    judged = [_judge(lock, relations[lock.relation]) for lock in there]
    hazards = _hazards(found.hazards, relations)
    risks = [text for risk, text in judged if risk != "none"]
    risks += [hazard["text"] for hazard in hazards]
    if found.opaque:
        risks.append("runs code whose locks its text does not tell: rehearse it")
    worst = max((_LEVELS.index(risk) for risk, _ in judged), default=0)
    return {
        "file": migration.name,
        "version": migration.key,
        "description": migration.description,
        "action": job.task.action,
        "transactional": job.transactional,
        "why": job.task.why,
        "irreversible": migration.directives.irreversible,
        "may_lose": _loses(job, found, relations),
        "takes": None if found.opaque else estimate(found.locks, found.hazards, relations, known),
        "sql": job.beginning(_SQL),
        "risk": _LEVELS[max(worst, 1 if risks else 0)],
        "risks": risks,
        "calm": [text for risk, text in judged if risk == "none"],
        "hazards": hazards,
        "locks": [
            {"relation": lock.relation, "mode": lock.mode, "rewrite": lock.rewrite}
            for lock in there
        ],
        "relations": [relations[lock.relation] for lock in there],
    }


def _hazards(found: Iterable[Seen], relations: dict[str, Relation]) -> list[Hazard]:
    """Return what is lost or broken of what is there; the rest the plan makes itself."""
    return [
        {"kind": kind, "text": f"{text}{_rows(relations[relation]) if relation else ''}"}
        for kind, text, relation in found
        if relation is None or relation in relations
    ]


def _rows(relation: Relation) -> str:
    return f" ({many(relation['rows'], 'row')}, {size(relation['bytes'])})"


def _judge(lock: Expected, relation: Relation) -> tuple[Risk, str]:
    """Return how risky a lock is and say it in words.

    What works on the table while the lock is held takes as long as the table is large; what
    only takes the lock takes a moment, and gives way after lock_timeout.
    """
    long = lock.rewrite or lock.scan
    stops_writes = level(lock.mode) >= _STOPS_WRITES
    writes, reads = relation["writes_per_second"], relation["reads_per_second"]
    busy = writes >= _BUSY or (lock.mode == ALL and reads >= _BUSY)
    count = relation["bytes"]
    risk: Risk = "none"
    if stops_writes and long and (count >= _HUGE or (count >= _SMALL and busy)):
        risk = "block"
    elif stops_writes and (busy or (long and count >= _SMALL)):
        risk = "notice"
    work = "table rewrite" if lock.rewrite else "full read" if lock.scan else "a moment"
    traffic = f"{writes:.0f} writes/s, {reads:.0f} reads/s"
    said = f"{words(lock.mode)} on {lock.relation}, {size(count)}, {traffic}, {work}"
    return risk, f"{said}: {_calm(lock, count) if risk == 'none' else risk}"


def _calm(lock: Expected, count: int) -> str:
    """Return why a lock is no risk."""
    if level(lock.mode) < _STOPS_WRITES:
        return blocks(lock.mode)
    return "short, for the table is small" if count < _SMALL else "short, for it does no more"
