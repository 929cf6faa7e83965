"""Directives: what the comments at the top of a file ask for."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

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
    " allow rule: why, batch=table.key, batch_size=5000,"
    " background, needs=7, after deploy"
)
_after_deploy = re.compile(r"(?<![\w-])after[ \t]+deploy(?![\w-])")
# Words are parted by commas and blanks, which a quoted name may hold.
_words = re.compile(r'(?:"[^"]*"|[^",\s])+|"').findall
_part = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_key = re.compile(rf"(?P<table>{_part}(?:\.{_part})?)\.(?P<column>{_part})").fullmatch
_MOST_ROWS = 1_000_000  # of a batch: it is a transaction, and its row locks are held as long


class Batch(NamedTuple):
    """What a backfill goes along: a table and a column of it, as SQL writes them.

    `background`: what comes after it need not wait, and `runner backfill` does it.
    """

    table: str
    column: str
    size: int = 5_000
    background: bool = False


class Directives(NamedTuple):
    """What the comments at the top of a file ask for.

    The timeouts are milliseconds. `allow` is for the linter: rules that the file breaks with a
    reason, as (rule, reason). `batch` makes a backfill of the file: it runs range after range.
    `needs` is a version without which the file must not run; `after_deploy` holds it until the
    application that can do without what it takes away runs.
    """

    no_transaction: bool = False
    out_of_order: bool = False
    lock_timeout: int | None = None
    statement_timeout: int | None = None
    irreversible: str | None = None
    allow: tuple[tuple[str, str], ...] = ()
    batch: Batch | None = None
    needs: str | None = None
    after_deploy: bool = False

    @property
    def in_background(self) -> bool:
        """Whether it is a backfill that what comes after it need not wait for."""
        return self.batch is not None and self.batch.background


def parse(head: str) -> Directives:
    """Return the directives among the blank and comment lines that a file begins with.

    Raises:
        ConfigurationError: one is unknown, malformed or given twice.
    """
    found: dict[str, Any] = {}
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
    batch = _batch(found)
    return Directives(**{**found, **batch}, allow=allow)


def _batch(found: dict[str, Any]) -> dict[str, Batch]:
    """Return what makes a backfill of the file, nothing where it is none."""
    batch, size = found.get("batch"), found.pop("batch_size", None)
    background = found.pop("background", False)
    if not batch and (size or background):
        name = "batch_size" if size else "background"
        raise ConfigurationError(f"{name} is for a file with batch=table.key")
    if batch and "no_transaction" in found:
        raise ConfigurationError("a batch is a transaction: leave no-transaction out")
    if not batch:
        return {}
    return {"batch": batch._replace(size=size or batch.size, background=background)}


def _parse_directive(body: str) -> list[tuple[str, Any]]:
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
    body = _after_deploy.sub("after-deploy", body)
    return [_parse_word(word) for word in _words(body)] or [_parse_word(body)]


def _parse_word(word: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if word in {"no-transaction", "out-of-order", "background", "after-deploy"}:
        return word.replace("-", "_"), True
    if name in {"lock_timeout", "statement_timeout"} and equals:
        try:
            return name, milliseconds(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error.message}") from error
    if name == "batch":
        return name, _parse_key(value)
    if name == "batch_size":
        return name, _parse_size(value)
    if name == "needs":
        return name, _parse_needs(value)
    raise ConfigurationError(f"unknown directive {word!r}; known: {_KNOWN}")


def _parse_key(text: str) -> Batch:
    found = _key(text)
    if not found:
        raise ConfigurationError(
            f"batch={text}: a table and its key are expected, as in batch=orders.id"
        )
    return Batch(found["table"], found["column"])


def _parse_needs(text: str) -> str:
    if not re.fullmatch(r"[Vv]?[0-9]{1,50}([._][0-9]{1,50})*", text):
        raise ConfigurationError(f"needs={text}: a version is expected, as in needs=7")
    return text


def _parse_size(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,6}", text) or int(text) > _MOST_ROWS:
        raise ConfigurationError(f"batch_size={text}: a number from 1 to {_MOST_ROWS} is expected")
    return int(text)


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
