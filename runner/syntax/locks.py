"""Which locks a statement will take, told from its text.

For a plan, before anything runs; what really happened is in the trace. The modes are those of
https://www.postgresql.org/docs/current/explicit-locking.html and of each statement's page.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from runner.syntax.clauses import Tokens, actions, after, first_name, names
from runner.syntax.lexer import unquoted
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


class Doubt(NamedTuple):
    """What decides whether a table is rewritten, and is in the database only.

    `type`: what a column gets, as SQL writes it, of the name `column`, None: a new one; `calls`:
    the functions of its default; `stored`: how the table is stored afterwards (unlogged, the name
    of a tablespace or a method), which it may be already.
    """

    type: str = ""
    column: str | None = None
    calls: tuple[str, ...] = ()
    stored: str | None = None


class Expected(NamedTuple):
    """A lock to expect: on which relation, as SQL names it, and what happens under it.

    `rewrite`: the whole table is written anew, which with `doubts` is to be seen; `scan`: it is
    read from end to end.
    """

    relation: str
    mode: str
    rewrite: bool = False
    scan: bool = False
    doubts: tuple[Doubt, ...] = ()

    @property
    def may_rewrite(self) -> bool:
        """Whether the text lets it be rewritten."""
        return self.rewrite or any(
            doubt.column or doubt.calls or doubt.stored for doubt in self.doubts
        )


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
    if known is None:
        return lock
    strongest = lock if _strength(lock) > _strength(known) else known
    doubts = known.doubts + tuple(doubt for doubt in lock.doubts if doubt not in known.doubts)
    return strongest._replace(rewrite=lock.rewrite or known.rewrite, doubts=doubts)


def is_opaque(statement: Statement) -> bool:
    """Return whether a statement runs code whose locks its own text does not tell."""
    return statement.keyword in {"DO", "CALL", "SELECT", "EXECUTE", "WITH"}


def _strength(lock: Expected) -> tuple[int, bool, bool]:
    return strength(lock.mode), lock.may_rewrite, lock.scan


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
            # Its rows are looked up for those that are there, all the while under its lock.
            looked_up = not {"VALID", "COLUMN"} & {*action}
            other = first_name(after(action, "REFERENCES"))
            yield Expected(other, SHARE_ROW, scan=looked_up)
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
    _kind("ALTER", SHARE_UPDATE, holds="STATISTICS"),
    _kind("SET (|WITHOUT", SHARE_UPDATE),
    _kind("RESET", SHARE_UPDATE),
    _kind("CLUSTER", SHARE_UPDATE),
    _kind("ENABLE TRIGGER", SHARE_ROW),
    _kind("DISABLE TRIGGER", SHARE_ROW),
    _kind("ATTACH", SHARE_UPDATE),
    _kind("DETACH", SHARE_UPDATE, holds="CONCURRENTLY"),
)


def _alter_action(table: str, action: Tokens) -> Expected:
    if action[0] == "ALTER" and "TYPE" in action[:6]:
        return _another_type(table, action)
    if action[0] == "SET" and {*action[1:2]} & _STORED:
        return Expected(table, ALL, doubts=(Doubt(stored=unquoted(action[-1])),))
    for kind in _ACTIONS:
        fits = action[0] == kind.first and (not kind.second or {*action[1:2]} & kind.second)
        if fits and (not kind.holds or kind.holds in action):
            # NOT VALID and USING INDEX spare the reading.
            scan = kind.scan and (action[0] != "ADD" or not {"VALID", "USING"} & {*action})
            return Expected(table, kind.mode, rewrite=kind.rewrite, scan=scan)
    not_null = action[0] == "ALTER" and action[-3:] == ["SET", "NOT", "NULL"]
    if action[0] == "ADD" and action[1:2] != ["CONSTRAINT"]:
        return _new_column(table, action)
    return Expected(table, ALL, scan=not_null)


_STORED = {"LOGGED", "UNLOGGED", "TABLESPACE", "ACCESS"}


def _another_type(table: str, action: Tokens) -> Expected:
    """Return the lock for another type of a column: only some have the rows written anew."""
    rest = action[2:] if action[1:2] == ["COLUMN"] else action[1:]
    wanted = after(rest, "TYPE")
    end = next((n for n, token in enumerate(wanted) if token in {"USING", "COLLATE"}), len(wanted))
    given = after(wanted, "USING")
    if given and given not in (rest[:1], [*rest[:1], ":", ":", *wanted[:end]]):
        return Expected(table, ALL, rewrite=True)
    doubt = Doubt(_typed(wanted[:end]), unquoted("".join(rest[:1])))
    return Expected(table, ALL, doubts=(doubt,))


def _typed(tokens: Tokens) -> str:
    return " ".join(token if token.startswith('"') else token.lower() for token in tokens)


def _new_column(table: str, action: Tokens) -> Expected:
    """Return the lock for a new column, which is written into every row if it differs by row."""
    if _differs_by_row(action):
        return Expected(table, ALL, rewrite=True)
    rest = action[2:] if action[1:2] == ["COLUMN"] else action[1:]
    rest = rest[3:] if rest[:3] == ["IF", "NOT", "EXISTS"] else rest
    end = next((n for n, token in enumerate(rest) if n and token in AFTER_TYPE), len(rest))
    doubt = Doubt(_typed(rest[1:end]), calls=_calls(after(action, "DEFAULT")))
    return Expected(table, ALL, doubts=(doubt,))


# What ends the type of a new column.
AFTER_TYPE = {
    *("CHECK", "COLLATE", "COMPRESSION", "CONSTRAINT", "DEFAULT", "GENERATED", "NOT", "NULL"),
    *("PRIMARY", "REFERENCES", "STORAGE", "UNIQUE"),
}
# Followed by a parenthesis, these call nothing, or what is the same for every row.
_NO_CALL = {
    *("ALL", "AND", "ANY", "ARRAY", "AS", "BIT", "CASE", "CAST", "CHAR", "CHARACTER", "CHECK"),
    *("COALESCE", "DEC", "DECIMAL", "ELSE", "EXTRACT", "FLOAT", "GREATEST", "IN", "INTERVAL"),
    *("LEAST", "NCHAR", "NOT", "NOW", "NULLIF", "NUMERIC", "OR", "ROW", "STATEMENT_TIMESTAMP"),
    *("THEN", "TIME", "TIMESTAMP", "TRANSACTION_TIMESTAMP", "VARCHAR", "VARYING", "WHEN"),
}
_name = re.compile(r'[^\W\d][\w$]*|"(?:[^"]|"")+"').fullmatch


def _calls(tokens: Tokens) -> tuple[str, ...]:
    """Return the functions that an expression calls."""
    followed = (token for token, next_ in itertools.pairwise(tokens) if next_ == "(")
    return tuple(unquoted(token) for token in followed if _name(token) and token not in _NO_CALL)


def _differs_by_row(action: Tokens) -> bool:
    if "STORED" in action or "IDENTITY" in action:
        return True
    return any(token in {"SERIAL", "BIGSERIAL", "SMALLSERIAL"} for token in action)


def default_rewrites(action: Tokens) -> bool:
    """Return whether a new column may have PostgreSQL write every row, as far as text tells."""
    return _new_column("", action).may_rewrite


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
    # An empty file takes the place of the old one: no row is written or read.
    yield from _each(tokens[2:] if tokens[1:2] == ["TABLE"] else tokens[1:], ALL)


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
