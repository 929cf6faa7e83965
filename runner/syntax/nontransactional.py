"""Which statements PostgreSQL 13 to 18 refuses inside a transaction block, told from their tokens.

What depends on the database (REINDEX or CLUSTER of a partitioned table, DROP SUBSCRIPTION with a
slot, a CALL or DO that commits) cannot be told from the text; the server's 25001 or 2D000 does.
"""

import itertools
from collections.abc import Callable

from runner.syntax.lexer import unquoted
from runner.syntax.scanner import Statement, scan


def non_transactional(statement: Statement | str) -> str | None:
    """Return why a statement cannot run in a transaction block, None when it can.

    None also where only the server knows. A statement that some of the versions 13 to 18 refuse
    counts as refused, for outside a transaction it runs on all of them.
    """
    if isinstance(statement, str):
        first = next(scan(statement), None)
        if first is None:
            return None
        statement = first
    rule = _RULES.get(statement.keyword)
    name = rule(statement) if rule else None
    return f"{name} cannot run inside a transaction block" if name else None


def _always(statement: Statement) -> str:
    return statement.keyword


def _create(statement: Statement) -> str | None:
    head = list(statement.head)
    if head[1:2] == ["UNIQUE"]:
        del head[1]
    if head[1:3] == ["INDEX", "CONCURRENTLY"]:
        return "CREATE INDEX CONCURRENTLY"
    if head[1:2] in (["DATABASE"], ["TABLESPACE"]):
        return f"CREATE {head[1]}"
    if head[1:2] == ["SUBSCRIPTION"]:
        options = _with_options(list(statement.tokens()))
        if _is_on(options, "create_slot") and _is_on(options, "connect"):
            return "CREATE SUBSCRIPTION that creates a replication slot"
    return None


def _drop(statement: Statement) -> str | None:
    head = statement.head
    if head[1:3] == ("INDEX", "CONCURRENTLY"):
        return "DROP INDEX CONCURRENTLY"
    return f"DROP {head[1]}" if head[1:2] in (("DATABASE",), ("TABLESPACE",)) else None


def _alter(statement: Statement) -> str | None:
    head = statement.head
    match head[1:]:
        case ("SYSTEM", *_):
            return "ALTER SYSTEM"
        case ("DATABASE", _, "TABLESPACE", *_) | ("DATABASE", _, "SET" | "WITH", "TABLESPACE", *_):
            return "ALTER DATABASE SET TABLESPACE"
        case ("SUBSCRIPTION", *_):
            return _alter_subscription(list(statement.tokens()))
        case ("TABLE", *_):
            return _detach_partition(statement)
    return None


def _alter_subscription(tokens: list[str]) -> str | None:
    match tokens[3:5]:
        case ["REFRESH", _]:
            return "ALTER SUBSCRIPTION … REFRESH PUBLICATION"
        case ["SET" | "ADD" | "DROP" as verb, "PUBLICATION"]:
            if _is_on(_with_options(tokens), "refresh"):
                return f"ALTER SUBSCRIPTION … {verb} PUBLICATION with refresh"
        case ["SET", "("]:
            options = _options(tokens[4:])
            if "failover" in options:
                return "ALTER SUBSCRIPTION … SET (failover)"
            if not _is_on(options, "two_phase"):
                return "ALTER SUBSCRIPTION … SET (two_phase = false)"
    return None


def _detach_partition(statement: Statement) -> str | None:
    tokens = list(statement.tokens())
    if tokens[-1] == "CONCURRENTLY" and ("DETACH", "PARTITION") in itertools.pairwise(tokens):
        return "ALTER TABLE … DETACH PARTITION … CONCURRENTLY"
    return None


def _reindex(statement: Statement) -> str | None:
    tokens = list(statement.tokens())
    options = _options(tokens[1:])
    rest = _after_options(tokens[1:])
    if rest[:1] in (["SCHEMA"], ["DATABASE"], ["SYSTEM"]):
        return f"REINDEX {rest[0]}"
    concurrently = rest[1:2] == ["CONCURRENTLY"] or _is_on(options, "concurrently", default=False)
    return "REINDEX CONCURRENTLY" if concurrently else None


def _cluster(statement: Statement) -> str | None:
    rest = _after_options(list(statement.tokens())[1:])
    return "CLUSTER without a table" if rest in ([], ["VERBOSE"]) else None


def _discard(statement: Statement) -> str | None:
    return "DISCARD ALL" if statement.head[1:2] == ("ALL",) else None


def _prepared(statement: Statement) -> str | None:
    return f"{statement.keyword} PREPARED" if statement.head[1:2] == ("PREPARED",) else None


_RULES: dict[str, Callable[[Statement], str | None]] = {
    "ALTER": _alter,
    "CLUSTER": _cluster,
    "COMMIT": _prepared,
    "CREATE": _create,
    "DISCARD": _discard,
    "DROP": _drop,
    "REINDEX": _reindex,
    "ROLLBACK": _prepared,
    "VACUUM": _always,
}


def _options(tokens: list[str]) -> dict[str, str]:
    """Return the options of a parenthesised list that the tokens start with, if they do.

    An option without a value is on; of one given twice the last counts, as in the server.
    """
    options: dict[str, str] = {}
    if tokens[:1] != ["("]:
        return options
    words: list[str] = []
    for symbol in tokens[1:]:
        if symbol not in (",", ")"):
            words += [] if symbol == "=" else [symbol]
            continue
        if words:
            options[unquoted(words[0])] = unquoted(words[1]).lower() if len(words) > 1 else "true"
        if symbol == ")":
            break
        words = []
    return options


def _with_options(tokens: list[str]) -> dict[str, str]:
    """Return the options of WITH (…)."""
    for index, symbol in enumerate(tokens):
        if symbol == "WITH" and tokens[index + 1 : index + 2] == ["("]:
            return _options(tokens[index + 1 :])
    return {}


def _after_options(tokens: list[str]) -> list[str]:
    if tokens[:1] != ["("] or ")" not in tokens:
        return tokens
    return tokens[tokens.index(")") + 1 :]


def _is_on(options: dict[str, str], name: str, *, default: bool = True) -> bool:
    return options[name] not in ("false", "off", "0") if name in options else default
