"""What a statement loses, breaks or switches off, told from its text: what locks do not tell.

For a plan, before anything runs. The four kinds are those that a person has to weigh: data that no
undo brings back, work on every row, clients that ask for what is no longer there, and safeguards
that no longer hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from runner.syntax.clauses import Tokens, actions, after, first_name, names
from runner.syntax.scanner import Statement

HazardKind = Literal["data", "rows", "clients", "safeguards"]


class Hazard(NamedTuple):
    """What to weigh; `relation`: of which one, as SQL names it, where it is of one."""

    kind: HazardKind
    text: str
    relation: str | None = None


# What DROP says loses more than a definition.
_HOLDS_DATA = {"TABLE": 2, "FOREIGN": 3, "SCHEMA": 2, "DATABASE": 2, "SEQUENCE": 2}
# Clients name these in what they send.
_NAMED = {
    *("AGGREGATE", "DOMAIN", "FUNCTION", "MATERIALIZED", "PROCEDURE", "ROLE", "ROUTINE"),
    *("TYPE", "USER", "VIEW"),
}
_SAFEGUARDS = {"TRIGGER", "RULE", "ROW"}
# What follows DROP in ALTER TABLE and is no column.
_NO_COLUMN = {"CONSTRAINT", "IDENTITY", "EXPRESSION", "DEFAULT", "NOT"}


def hazards_of(statement: Statement) -> list[Hazard]:
    """Return what there is to weigh about a statement."""
    rule = _RULES.get(statement.keyword)
    return list(rule(list(statement.tokens()))) if rule else []


def _drop(tokens: Tokens) -> Iterator[Hazard]:
    what = "".join(tokens[1:2])
    more = " and all that depends on it" if "CASCADE" in tokens else ""
    if what in _HOLDS_DATA:
        for name in names(tokens[_HOLDS_DATA[what] :]):
            relation = None if what in {"SCHEMA", "DATABASE"} else name
            yield Hazard("data", f"drops {what.lower()} {name}{more}", relation)
    elif what == "OWNED":
        yield Hazard("data", "drops whatever a role owns")
    elif what in _NAMED:
        lower = "materialized view" if what == "MATERIALIZED" else what.lower()
        yield Hazard(
            "clients", f"drops {lower} {first_name(tokens[1 + len(lower.split()) :])}{more}"
        )
    elif more:
        yield Hazard("clients", f"drops {what.lower()}{more}")
    if what in {"TRIGGER", "POLICY", "RULE"}:
        relation = first_name(after(tokens, "ON"))
        yield Hazard("safeguards", f"drops a {what.lower()} of {relation}", relation)


def _truncate(tokens: Tokens) -> Iterator[Hazard]:
    more = " and all that refers to it" if "CASCADE" in tokens else ""
    for name in names(tokens[2:] if tokens[1:2] == ["TABLE"] else tokens[1:]):
        yield Hazard("data", f"empties {name}{more}", name)


def _delete(tokens: Tokens) -> Iterator[Hazard]:
    relation = first_name(tokens[2:])
    what = "rows" if "WHERE" in tokens else "every row"
    yield Hazard("data", f"deletes {what} of {relation}", relation)


def _update(tokens: Tokens) -> Iterator[Hazard]:
    if "WHERE" not in tokens:
        relation = first_name(tokens[1:])
        how = "in one transaction and not in batches"
        yield Hazard("rows", f"writes, {how}, every row of {relation}", relation)


def _alter(tokens: Tokens) -> Iterator[Hazard]:
    what = "".join(tokens[1:2])
    if what == "TABLE":
        table = first_name(tokens[2:])
        for action in actions(tokens[2:]):
            yield from _alter_table(table, action)
    elif "RENAME" in tokens or tokens[-3:-1] == ["SET", "SCHEMA"]:
        yield Hazard("clients", f"renames or moves a {what.lower()}")


def _alter_table(table: str, action: Tokens) -> Iterator[Hazard]:
    verb, second = action[0], "".join(action[1:2])
    if verb == "DROP" and second not in _NO_COLUMN:
        column = first_name(action[2:] if second == "COLUMN" else action[1:])
        yield Hazard("data", f"drops column {column} of {table}", table)
        yield Hazard("clients", f"{table} has no column {column} any more", table)
    elif verb == "RENAME" and second != "CONSTRAINT":
        yield Hazard("clients", f"renames {table} or a column of it", table)
    elif verb == "SET" and second in {"UNLOGGED", "SCHEMA"}:
        if second == "SCHEMA":
            yield Hazard("clients", f"moves {table} to another schema", table)
        else:
            yield Hazard("data", f"{table} is emptied after a crash from now on", table)
    elif verb == "DISABLE" and second in _SAFEGUARDS:
        yield Hazard("safeguards", f"switches off {_switched(action)} of {table}", table)
    elif verb == "ALTER":
        yield from _alter_column(table, action)


def _alter_column(table: str, action: Tokens) -> Iterator[Hazard]:
    rest = action[2:] if action[1:2] == ["COLUMN"] else action[1:]
    column, what = first_name(rest), rest[1:]
    if "TYPE" in what[:3]:
        yield Hazard("clients", f"column {column} of {table} gets another type", table)
    elif what[:3] == ["SET", "NOT", "NULL"]:
        yield Hazard("clients", f"column {column} of {table} has to be given from now on", table)
    elif what[:2] == ["DROP", "DEFAULT"]:
        yield Hazard("clients", f"column {column} of {table} has no default any more", table)


def _switched(action: Tokens) -> str:
    return "row level security" if action[1] == "ROW" else f"a {action[1].lower()}"


def _revoke(_tokens: Tokens) -> Iterator[Hazard]:
    yield Hazard("clients", "takes rights away")


_RULES: dict[str, Callable[[Tokens], Iterator[Hazard]]] = {
    "ALTER": _alter,
    "DELETE": _delete,
    "DROP": _drop,
    "REVOKE": _revoke,
    "TRUNCATE": _truncate,
    "UPDATE": _update,
}
