"""Directives: what the comments at the top of a file ask for."""

from __future__ import annotations

import re
from typing import NamedTuple

from runner.errors import ConfigurationError
from runner.syntax.search import mentions

_DIRECTIVE = re.compile(r"--[ \t]*(?i:runner):[ \t]*(?P<body>[^\r\n]*)")
_STRAY = re.compile(r"^--[ \t]*(?i:runner):", re.MULTILINE)
_DURATION = re.compile(r"[0-9]{1,12}(?:us|ms|s|min|h|d)?")
_MOST = 2**31 - 1  # milliseconds: some 24 days, the most that the server takes
_UNITS = {"us": 0.001, "": 1, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_ALLOW = "allow "
_WAIVERS = 200  # of one file: the linter asks for each that answers nothing whether it is a rule
_KNOWN = (
    "no-transaction, out-of-order, lock_timeout=5s, statement_timeout=10min, irreversible: why,"
    " allow rule: why"
)


class Directives(NamedTuple):
    """What the comments at the top of a file ask for.

    The timeouts are milliseconds. `allow` is for the linter: rules that the file breaks with a
    reason, as (rule, reason).
    """

    no_transaction: bool = False
    out_of_order: bool = False
    lock_timeout: int | None = None
    statement_timeout: int | None = None
    irreversible: str | None = None
    allow: tuple[tuple[str, str], ...] = ()


def parse(head: str) -> Directives:
    """Return the directives among the blank and comment lines that a file begins with.

    Raises:
        ConfigurationError: one is unknown, malformed or given twice.
    """
    found: dict[str, str | bool | int] = {}
    for line in re.split(r"[\r\n]", head):  # where a line ends for the server
        match = _DIRECTIVE.match(line.strip(" \t\f\v"))
        if match:
            for name, value in _parse_directive(match["body"].strip()):
                if name in found:
                    raise ConfigurationError(f"directive {name} is given twice")
                found[name] = value
    waived = [name for name in found if name.startswith(_ALLOW)]
    if len(waived) > _WAIVERS:
        raise ConfigurationError(f"{len(waived)} rules are allowed: more than there are")
    allow = tuple((name.removeprefix(_ALLOW), str(found.pop(name))) for name in waived)
    return Directives(**found, allow=allow)  # type: ignore[arg-type]


def _parse_directive(body: str) -> list[tuple[str, str | bool | int]]:
    name, colon, reason = body.partition(":")
    if name.strip() == "irreversible":
        if not (colon and reason.strip()):
            raise ConfigurationError("irreversible needs a reason: -- runner: irreversible: <why>")
        return [("irreversible", reason.strip())]
    if re.match(r"allow(?:\s|$)", name):
        rule = re.fullmatch(r"allow\s+([a-z0-9-]+)", name.strip())
        if not (rule and reason.strip()):
            raise ConfigurationError(
                "allow needs one rule and a reason: -- runner: allow <rule>: <why>"
            )
        return [(_ALLOW + rule[1], reason.strip())]
    return [_parse_word(word) for word in re.split(r"[,\s]+", body) if word] or [_parse_word(body)]


def _parse_word(word: str) -> tuple[str, str | bool | int]:
    name, equals, value = word.partition("=")
    if word in {"no-transaction", "out-of-order"}:
        return word.replace("-", "_"), True
    if name in {"lock_timeout", "statement_timeout"} and equals:
        try:
            return name, milliseconds(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error.message}") from error
    raise ConfigurationError(f"unknown directive {word!r}; known: {_KNOWN}")


def stray_directive(text: str, head_end: int) -> int | None:
    """Return the offset of a directive below the top of the file, where it has no effect."""
    match = _STRAY.search(text, head_end) if mentions(text, "runner:") else None
    return match.start() if match else None


def milliseconds(duration: str) -> int:
    """Return a duration as PostgreSQL writes it in milliseconds; a bare number is those.

    Raises:
        ConfigurationError: it is not a duration.

    """
    if not _DURATION.fullmatch(duration):
        raise ConfigurationError(f"{duration!r} is not a duration such as 500ms, 5s, 10min")
    number = duration.rstrip("abcdefghijklmnopqrstuvwxyz")
    found = round(int(number) * _UNITS[duration[len(number) :]])
    if found > _MOST:
        raise ConfigurationError(f"{duration} is more than the server takes, which is 24 days")
    return found


def with_unit(duration: str) -> int:
    """Return a duration that names its unit in milliseconds: on a command line 5 is read as 5s.

    Raises:
        ConfigurationError: it is not a duration, or has no unit.
    """
    if re.fullmatch("0*[1-9][0-9]{0,11}", duration):
        raise ConfigurationError(f"{duration} has no unit", fix=f"{duration}s or {duration}ms")
    return milliseconds(duration)
