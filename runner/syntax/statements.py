"""What the SQL of a migration says: its statements, and what must not be among them.

A scanner of our own decides, for a wrong cut would send other statements than were reviewed.
"""

import re
from collections.abc import Iterable, Iterator

from runner.syntax.lexer import Problem, unquoted
from runner.syntax.nontransactional import non_transactional
from runner.syntax.scanner import Scanner, Statement, copies, takes_data
from runner.syntax.search import mentions


def position(text: str, offset: int) -> tuple[int, int]:
    r"""Return line and column (both from 1) of an offset, as an editor shows them.

    Lines end with \n, \r\n or a lone \r.
    """
    if text[offset - 1 : offset + 1] == "\r\n" and offset:
        offset -= 1
    ends = text.count("\n", 0, offset) + text.count("\r", 0, offset)
    start = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    return ends - text.count("\r\n", 0, offset) + 1, offset - start + 1


def executable(text: str, *, transactional: bool = True) -> str:
    r"""Return the text as the server can run it, with blanks for what it must not get.

    That is pg_dump's \restrict lines, and the BEGIN and COMMIT that a file is wrapped in: the
    runner's own transaction is what they ask for. The length stays, so that the position in a
    server's error is the one in the file.

    Parameters:
        transactional: whether the runner may give the file a transaction.
    """
    text = without_guards(text)
    return _blanked(text, _wrapper(text)) if transactional else text


def without_guards(text: str) -> str:
    r"""Return the text with blanks for pg_dump's \restrict lines, which are for psql."""
    if "restrict" not in text:
        return text
    scanner = Scanner(text)
    for _ in scanner.statements():
        pass
    return _blanked(text, scanner.guards)


def _blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def begins_transaction(text: str) -> bool:
    """Return whether a text's first statement is the BEGIN of a wrapped file."""
    first = next(Scanner(text).stretches(), None)
    return first is not None and _begins(first)


def _wrapper(text: str) -> list[tuple[int, int]]:
    """Return where BEGIN and COMMIT are, if they are a text's first and last statement.

    Only where they mean what the runner's do: without a mode of their own, with no other
    transaction control between them, and nothing that would refuse to run there.
    """
    found = Scanner(text).stretches()
    first, last = next(found, None), None
    if first is None or not _begins(first):
        return []
    for statement in found:
        if last and (controls_transaction(last) or non_transactional(last)):
            return []
        last = statement
    if last is None or last.head not in _ENDS:
        return []
    return [(first.start, first.end), (last.start, last.end)]


def _begins(statement: Statement) -> bool:
    return statement.keyword in {"BEGIN", "START"} and statement.head in _BEGINS


def controls_transaction(statement: Statement) -> bool:
    """Return whether a statement begins or ends a transaction."""
    check = _CHECKS.get(statement.keyword)
    return check in (_transaction_control, _prepare) and any(check(statement))


def problems(text: str) -> list[Problem]:
    """Return what a migration file must not hold, in the order of the text."""
    found: list[Problem] = []
    for _ in checked(text, found):
        pass
    return found


def checked(text: str, found: list[Problem], *, more: bool = False) -> Iterator[Statement]:
    """Yield the statements of a text, INSERTs that follow each other as one.

    Parameters:
        found: has at the end, in the order of the text, what a migration file must not hold.
        more: the text goes on: what it may cut is left out, and so is what follows a COPY of data.
    """
    scanner = Scanner(text, more=more)
    if (nul := text.find("\0")) >= 0:
        found.append(Problem(nul, "a NUL character", "remove it: the server cannot store it"))
    calls_set_config = mentions(text, _SET_CONFIG)
    end = 0
    for statement in scanner.statements() if calls_set_config else scanner.stretches():
        if more and not statement.terminated:
            break
        end = statement.end
        if check := _CHECKS.get(statement.keyword):
            found += check(statement)
        if calls_set_config and mentions(statement.text, _SET_CONFIG):
            found += _set_config(statement)
        yield statement
        if more and takes_data(statement):
            break
    found += [problem for problem in scanner.problems if not more or problem.offset < end]
    found.sort(key=lambda problem: problem.offset)


def _transaction_control(statement: Statement) -> Iterator[Problem]:
    head = [token for token in statement.head if token not in ("WORK", "TRANSACTION")]
    match head:
        case ["COMMIT" | "ROLLBACK", "PREPARED", *_] | ["ROLLBACK", "TO", *_]:
            return
        case ["BEGIN", *_] if _large_object(statement.source, statement.end):
            message = "pg_dump's large objects come with a transaction of their own"
            fix = "dump without them (pg_dump --no-large-objects) and load them separately"
        case _:
            name = " ".join(statement.head[:2] if head[0] == "START" else head[:1])
            message = f"{name} would control the runner's own transaction"
            fix = "remove it: the runner begins and commits for the file"
            if head[0] in {"BEGIN", "START"} and head[1:]:
                fix += ", READ COMMITTED whatever it says"
    yield Problem(statement.start, message, fix)


def _prepare(statement: Statement) -> Iterator[Problem]:
    head = statement.head
    if head[1:2] == ("TRANSACTION",) and head[2:3] != ("AS",) and head[2:3] != ("(",):
        yield Problem(
            statement.start,
            "PREPARE TRANSACTION would end the runner's own transaction",
            "remove it: a migration is committed by the runner",
        )


def _copy_out(statement: Statement) -> Iterator[Problem]:
    if copies(statement) == "TO":
        yield Problem(
            statement.start,
            "COPY … TO stdout has nobody to read it",
            "remove it, or COPY into a file or a program of the server's",
        )


def _set(statement: Statement) -> Iterator[Problem]:
    head = list(statement.head[1:])
    if head[:1] in (["SESSION"], ["LOCAL"]):
        del head[0]
    if head[:1] == ["NAMES"]:
        head[:1] = ["client_encoding", "="]
    match head:
        case [name, "=" | "TO", value, *_]:
            yield from _setting(statement.start, unquoted(name), value)


def _setting(offset: int, name: str, value: str) -> Iterator[Problem]:
    """Yield the problem of giving a setting a value, if it changes how a file is read."""
    name, plain = name.lower(), unquoted(value).lower()
    if plain == "default" and value == "DEFAULT":
        return
    if name == "standard_conforming_strings" and plain not in _ON:
        yield Problem(
            offset,
            f"{name} off would give backslashes another meaning",
            r"remove it and write E'…' where \ escapes",
        )
    if name == "client_encoding" and re.sub("[^a-z0-9]", "", plain) not in ("utf8", "unicode"):
        yield Problem(
            offset,
            "another client_encoding than UTF8 would garble what follows",
            "remove it and save the file as UTF-8",
        )


def _set_config(statement: Statement) -> Iterator[Problem]:
    tokens = list(statement.tokens())
    for index, token in enumerate(tokens):
        match tokens[index + 1 : index + 5]:
            case ["(", name, ",", value] if unquoted(token) == _SET_CONFIG:
                yield from _setting(statement.start, unquoted(name), value)


_OPTIONAL = ((), ("WORK",), ("TRANSACTION",))
_BEGINS = {("START", "TRANSACTION"), *(("BEGIN", *word) for word in _OPTIONAL)}
_ENDS = {(end, *word) for end in ("COMMIT", "END") for word in _OPTIONAL}
_ON = frozenset(("on", "true", "tru", "tr", "t", "yes", "ye", "y", "1"))
_large_object = re.compile(r"\s*;\s*SELECT\s+(?:pg_catalog\.)?lo_open\b", re.IGNORECASE).match
_SET_CONFIG = "set_config"
_CHECKS = {
    "ABORT": _transaction_control,
    "BEGIN": _transaction_control,
    "COMMIT": _transaction_control,
    "COPY": _copy_out,
    "END": _transaction_control,
    "PREPARE": _prepare,
    "ROLLBACK": _transaction_control,
    "SET": _set,
    "START": _transaction_control,
}
