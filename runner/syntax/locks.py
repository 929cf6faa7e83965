"""Which locks a statement will take, told from its text.

For a plan, before anything runs; what really happened is in the trace. The modes are those of
https://www.postgresql.org/docs/current/explicit-locking.html and of each statement's page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from runner.syntax.clauses import Tokens, actions, after, first_name, names
from runner.syntax.modes import (
    ALL,
    EXCLUSIVE,
    ROW,
    SHARE,
    SHARE_ROW,
    SHARE_UPDATE,
    strength,
    worded,
)
from runner.syntax.scanner import Statement, scan


class Expected(NamedTuple):
    """A lock to expect: on which relation, as SQL names it, and what happens under it.

    `rewrite`: the whole table is written anew; `scan`: it is read from end to end.
    """

    relation: str
    mode: str
    rewrite: bool = False
    scan: bool = False


def locks_of(statement: Statement) -> list[Expected]:
    """Return the locks on relations that are named in a statement, the strongest of each."""
    rule = _RULES.get(statement.keyword)
    return _strongest(rule(list(statement.tokens()))) if rule else []


def locks_in(text: str) -> list[Expected]:
    """Return the locks that the statements of a text will take, the strongest of each relation."""
    return _strongest(lock for statement in scan(text) for lock in locks_of(statement))


def _strongest(locks: Iterable[Expected]) -> list[Expected]:
    found: dict[str, Expected] = {}
    for lock in locks:
        found[lock.relation] = stronger(lock, found.get(lock.relation))
    return list(found.values())


def stronger(lock: Expected, known: Expected | None) -> Expected:
    """Return the stronger of two locks on a relation, what is known where they are the same."""
    return lock if known is None or _strength(lock) > _strength(known) else known


def is_opaque(statement: Statement) -> bool:
    """Return whether a statement runs code whose locks its own text does not tell."""
    return statement.keyword in {"DO", "CALL", "SELECT", "EXECUTE", "WITH"}


def _strength(lock: Expected) -> tuple[int, bool, bool]:
    return strength(lock.mode), lock.rewrite, lock.scan


def _each(tokens: Tokens, mode: str) -> Iterator[Expected]:
    """Yield a lock for each name of a list."""
    return (Expected(name, mode) for name in names(tokens))


def _alter(tokens: Tokens) -> Iterator[Expected]:
    if tokens[1:2] == ["TABLE"]:
        yield from _alter_table(tokens[2:])
    elif tokens[1:2] in (["VIEW"], ["SEQUENCE"], ["INDEX"]):
        yield Expected(first_name(tokens[2:]), ALL)
    elif tokens[1:3] == ["MATERIALIZED", "VIEW"]:
        yield Expected(first_name(tokens[3:]), ALL)
    elif tokens[1:2] == ["POLICY"] or tokens[1:2] == ["TRIGGER"]:
        yield Expected(first_name(after(tokens, "ON")), ALL)


def _alter_table(tokens: Tokens) -> Iterator[Expected]:
    table = first_name(tokens)
    for action in actions(tokens):
        yield _alter_action(table, action)
        if "REFERENCES" in action:
            yield Expected(first_name(after(action, "REFERENCES")), SHARE_ROW)
        if action[:2] in (["ATTACH", "PARTITION"], ["DETACH", "PARTITION"]):
            yield Expected(first_name(action[2:]), ALL, scan=action[0] == "ATTACH")


class _Action(NamedTuple):
    """A kind of ALTER TABLE's actions: how it begins, a word it holds, what it does."""

    first: str
    second: frozenset[str]
    holds: str
    mode: str
    rewrite: bool = False
    scan: bool = False


def _kind(begins: str, mode: str, *, holds: str = "", what: str = "") -> _Action:
    first, _, second = begins.partition(" ")
    return _Action(
        first, frozenset(second.split("|")) - {""}, holds, mode, what == "rewrite", what == "scan"
    )


# The first that fits; what is not here takes the strongest lock, for a moment.
_ACTIONS = (
    _kind("VALIDATE", SHARE_UPDATE, what="scan"),
    _kind("ADD CONSTRAINT|FOREIGN", SHARE_ROW, holds="REFERENCES", what="scan"),
    _kind("ADD CONSTRAINT|CHECK|UNIQUE|PRIMARY|EXCLUDE", ALL, what="scan"),
    _kind("ALTER", ALL, holds="TYPE", what="rewrite"),
    _kind("ALTER", SHARE_UPDATE, holds="STATISTICS"),
    _kind("SET LOGGED|UNLOGGED|TABLESPACE|ACCESS", ALL, what="rewrite"),
    _kind("SET (|WITHOUT", SHARE_UPDATE),
    _kind("RESET", SHARE_UPDATE),
    _kind("CLUSTER", SHARE_UPDATE),
    _kind("ENABLE TRIGGER", SHARE_ROW),
    _kind("DISABLE TRIGGER", SHARE_ROW),
    _kind("ATTACH", SHARE_UPDATE),
    _kind("DETACH", SHARE_UPDATE, holds="CONCURRENTLY"),
)


def _alter_action(table: str, action: Tokens) -> Expected:
    for kind in _ACTIONS:
        fits = action[0] == kind.first and (not kind.second or {*action[1:2]} & kind.second)
        if fits and (not kind.holds or kind.holds in action):
            # NOT VALID and USING INDEX spare the reading.
            scan = kind.scan and (action[0] != "ADD" or not {"VALID", "USING"} & {*action})
            return Expected(table, kind.mode, rewrite=kind.rewrite, scan=scan)
    not_null = action[0] == "ALTER" and action[-3:] == ["SET", "NOT", "NULL"]
    rewrite = action[0] == "ADD" and default_rewrites(action)
    return Expected(table, ALL, rewrite=rewrite, scan=not_null)


def default_rewrites(action: Tokens) -> bool:
    """Return whether a new column makes PostgreSQL write every row: its value differs by row.

    A default that calls a function may be volatile; now() and its like are known not to be.
    """
    if "STORED" in action or "IDENTITY" in action:
        return True
    if any(token in {"SERIAL", "BIGSERIAL", "SMALLSERIAL"} for token in action):
        return True
    default = after(action, "DEFAULT")
    return "(" in default and default[0] not in {"NOW", "STATEMENT_TIMESTAMP", "CURRENT_TIMESTAMP"}


def _create(tokens: Tokens) -> Iterator[Expected]:
    rest = [token for token in tokens[1:4] if token not in {"OR", "REPLACE", "UNIQUE"}]
    if rest[:1] == ["INDEX"]:
        mode = SHARE_UPDATE if rest[1:2] == ["CONCURRENTLY"] else SHARE
        yield Expected(first_name(after(tokens, "ON")), mode, scan=True)
    elif "TRIGGER" in rest[:2]:
        yield Expected(first_name(after(tokens, "ON")), SHARE_ROW)
    elif rest[:1] == ["POLICY"]:
        yield Expected(first_name(after(tokens, "ON")), ALL)
    elif rest[:1] == ["RULE"]:
        yield Expected(first_name(after(tokens, "TO")), ALL)
    elif "VIEW" in rest and "REPLACE" in tokens[:3]:
        yield Expected(first_name(after(tokens, "VIEW")), ALL)
    elif "TABLE" in rest:
        for place, token in enumerate(tokens):
            if token == "REFERENCES":
                yield Expected(first_name(tokens[place + 1 :]), SHARE_ROW)
            if token == "OF" and tokens[place - 1] == "PARTITION":
                yield Expected(first_name(tokens[place + 1 :]), ALL)


def _drop(tokens: Tokens) -> Iterator[Expected]:
    kinds = {"TABLE": 2, "VIEW": 2, "INDEX": 2, "SEQUENCE": 2, "MATERIALIZED": 3, "FOREIGN": 3}
    what = "".join(tokens[1:2])
    if what in kinds:
        mode = SHARE_UPDATE if "CONCURRENTLY" in tokens else ALL
        yield from _each(tokens[kinds[what] :], mode)
    elif what in {"TRIGGER", "POLICY", "RULE"}:
        yield Expected(first_name(after(tokens, "ON")), ALL)


def _lock(tokens: Tokens) -> Iterator[Expected]:
    words = " ".join(after(tokens, "IN")).removesuffix(" NOWAIT").removesuffix(" MODE")
    if words not in {"ACCESS SHARE", "ROW SHARE"}:
        yield from _each(tokens[1:], worded(words) or ALL)


def _vacuum(tokens: Tokens) -> Iterator[Expected]:
    full = "FULL" in tokens
    rest = [token for token in tokens[1:] if token not in {"FULL", "FREEZE", "VERBOSE", "ANALYZE"}]
    rest = after(rest, ")") if rest[:1] == ["("] else rest
    if rest:
        yield Expected(first_name(rest), ALL if full else SHARE_UPDATE, rewrite=full, scan=True)


def _on_object(tokens: Tokens) -> Iterator[Expected]:
    if tokens[1:3] == ["ON", "TABLE"]:
        yield Expected(first_name(tokens[3:]), SHARE_UPDATE)
    elif tokens[1:3] == ["ON", "COLUMN"]:
        yield Expected(first_name(tokens[3:]).rpartition(".")[0], SHARE_UPDATE)


def _refresh(tokens: Tokens) -> Iterator[Expected]:
    concurrently = "CONCURRENTLY" in tokens
    yield Expected(
        first_name(tokens[3:]), EXCLUSIVE if concurrently else ALL, rewrite=not concurrently
    )


def _truncate(tokens: Tokens) -> Iterator[Expected]:
    for lock in _each(tokens[2:] if tokens[1:2] == ["TABLE"] else tokens[1:], ALL):
        yield lock._replace(rewrite=True)


def _cluster(tokens: Tokens) -> Iterator[Expected]:
    rest = [token for token in tokens[1:] if token != "VERBOSE"]
    if rest and rest[0] != "(":
        yield Expected(first_name(rest), ALL, rewrite=True)


_RULES: dict[str, Callable[[Tokens], Iterator[Expected]]] = {
    "ALTER": _alter,
    "CLUSTER": _cluster,
    "COMMENT": _on_object,
    "COPY": lambda tokens: iter(
        [Expected(first_name(tokens[1:]), ROW)] if tokens[1:2] != ["("] else []
    ),
    "CREATE": _create,
    "DELETE": lambda tokens: iter([Expected(first_name(tokens[2:]), ROW)]),
    "DROP": _drop,
    "INSERT": lambda tokens: iter([Expected(first_name(tokens[2:]), ROW)]),
    "LOCK": _lock,
    "MERGE": lambda tokens: iter([Expected(first_name(tokens[2:]), ROW)]),
    "REFRESH": _refresh,
    "TRUNCATE": _truncate,
    "UPDATE": lambda tokens: iter([Expected(first_name(tokens[1:]), ROW)]),
    "VACUUM": _vacuum,
}
