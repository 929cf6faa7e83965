"""A result in words: what the page and the comment both say."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from runner.errors import Error
from runner.syntax import modes

Document = Mapping[str, Any]
Entry = Mapping[str, Any]

RISKS = {"none": "no risk seen", "notice": "be aware", "block": "would block"}


class Verdict(NamedTuple):
    """The outcome: a tone (good, warn, bad, calm), a sign and a word for it, and a sentence."""

    tone: str
    sign: str
    word: str
    sentence: str


def clean(text: object) -> str:
    """Return the text without what could deceive the eye or break a file.

    Control characters and halves of surrogate pairs become �; characters that nobody sees, or
    that turn the direction of writing, are named.
    """
    return "".join(
        char if char in "\n\t" or not unicodedata.category(char).startswith("C") else _named(char)
        for char in str(text).replace("\r\n", "\n")
    )


def _named(char: str) -> str:
    return f"⟨U+{ord(char):04X}⟩" if unicodedata.category(char) == "Cf" else "�"


def bounded(text: str, most: int) -> str:
    """Return the text, cut where it is longer than so many characters, and say so."""
    left = len(text) - most
    return text if left <= 0 else f"{text[:most]}\n… {left:,} more characters"


def many(count: int, one: str, more: str | None = None) -> str:
    """Return a number of things.

    Parameters:
        more: the plural, where it is not formed by an s.
    """
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def place(error: Error) -> str:
    """Return where an error is, as editors and terminals open it: file:line:column."""
    parts = (error.get("file"), error.get("line"), error.get("column"))
    return ":".join(str(part) for part in parts if part)


def remarks(error: Error) -> list[tuple[str, str]]:
    """Return what else the server said of an error, by name."""
    named = {
        "detail": error.get("detail"),
        "hint": error.get("hint"),
        "context": error.get("context"),
    }
    return [(name, text) for name, text in named.items() if text]


def blocks(name: str) -> str:
    """Return what a lock keeps others from."""
    return f"blocks {modes.BLOCKS[modes.level(name)]}"


def locks(entry: Entry) -> list[Entry]:
    """Return the locks that an entry has, each with its relation and mode."""
    return [lock for lock in entry.get("locks") or () if {"relation", "mode"} <= lock.keys()]


def strongest(entry: Entry) -> str | None:
    """Return the mode of the strongest lock that an entry has, None if it has none."""
    return max((lock["mode"] for lock in locks(entry)), key=modes.level, default=None)


def size(count: float | None) -> str:
    """Return a number of bytes in the unit that reads best; 1 kB is 1024, as PostgreSQL has it."""
    return "" if count is None else _scaled(count, 1024, ("bytes", "kB", "MB", "GB", "TB"))


def amount(count: float | None) -> str:
    """Return a number of rows, rounded."""
    return "" if count is None else _scaled(count, 1000, ("", "thousand", "million", "billion"))


def rate(count: float | None) -> str:
    """Return a number of events in a second."""
    return "" if count is None else f"{count:,.0f}" if count >= 10 or not count else f"{count:.1f}"  # noqa: PLR2004


def _scaled(count: float, step: int, units: tuple[str, ...]) -> str:
    power = 0
    while count >= step and power < len(units) - 1:
        count, power = count / step, power + 1
    digits = 1 if power and count < 10 else 0  # noqa: PLR2004
    return f"{count:,.{digits}f} {units[power]}".strip()


def duration(milliseconds: float | None) -> str:
    """Return a duration in the unit that reads best."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:  # noqa: PLR2004
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {seconds % 60:.0f} s"  # noqa: PLR2004


def moment(text: object) -> str:
    """Return a time for people, in UTC."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return str(text)
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if found.tzinfo else f"{found}"


def target(document: Document) -> str:
    """Return the database and its server, empty where nothing was connected to."""
    found = document.get("target") or {}
    if not found:
        return ""
    return f"{found.get('dbname', '?')} on {found.get('host') or 'the local socket'}"


def planned(document: Document) -> list[Entry]:
    """Return the files of a plan or a dry run, each with its SQL."""
    data = document.get("data")
    if isinstance(data, Mapping):
        return list(data.get("files") or ())
    if document.get("outcome") != "planned" or not isinstance(data, list):
        return []
    texts = {entry.get("file"): entry.get("sql") for entry in data if isinstance(entry, Mapping)}
    return [{**entry, "sql": texts.get(entry["file"])} for entry in document.get("pending") or ()]


def verified(document: Document) -> list[Entry]:
    """Return the migrations that were put to the proof."""
    data = document.get("data")
    return list(data.get("migrations") or ()) if isinstance(data, Mapping) else []


def standing(entry: Entry) -> str:
    """Return what a proof says of a migration: proved, irreversible or not proved."""
    if entry.get("proved"):
        return "proved"
    lone = entry.get("irreversible") and not entry.get("problems")
    return "irreversible" if lone else "not proved"


def failed(document: Document) -> str | None:
    """Return the file that the error names, as the pending list has it."""
    file = str((document.get("error") or {}).get("file") or "")
    names = [str(entry.get("file")) for entry in document.get("pending") or ()]
    return next((name for name in names if file == name or file.endswith(f"/{name}")), None)


def failure(document: Document) -> str:
    """Return what became of the file that failed."""
    kind = (document.get("error") or {}).get("kind")
    words = {"migration": "failed and rolled back", "attention": "stopped half way"}
    return words.get(str(kind), "failed")


def attempt(entry: Entry) -> str:
    """Return how often a migration was tried, empty where the first time was enough."""
    count = entry.get("attempts") or 1
    return f"done at attempt {count}" if count > 1 else ""


def unproved(document: Document) -> bool:
    """Return whether the error only sums up what the migrations of a proof say themselves."""
    error = document.get("error") or {}
    return bool(verified(document)) and error.get("kind") == "refused"


def waiting(document: Document) -> list[Entry]:
    """Return what was left undone, without the file that failed."""
    name = failed(document)
    return [entry for entry in document.get("pending") or () if entry.get("file") != name]


def risk(entry: Entry) -> str:
    """Return the risk of a plan's file: none, notice or block; an unknown word is the worst."""
    word = entry.get("risk") or "none"
    return word if word in RISKS else "block"


def verdict(document: Document) -> Verdict:
    """Return the outcome for people."""
    outcome = document.get("outcome")
    if verified(document):
        return _proof(document)
    if document.get("error"):
        return _stopped(document)
    if files := planned(document):
        return _plan(files)
    took = duration(document.get("duration_ms"))
    if outcome == "applied":
        applied = document.get("applied") or ()
        verb = "undone" if any(e.get("action") == "undo" for e in applied) else "applied"
        count = many(len(applied), "migration") if applied else "Changes"
        return Verdict("good", "✓", "Done", f"{count} {verb} in {took}")
    return Verdict("calm", "=", "Nothing to do", "The database is at the files already")


def _stopped(document: Document) -> Verdict:
    done = many(len(document.get("applied") or ()), "migration")
    left = len(waiting(document))
    if document.get("outcome") == "incomplete":
        return Verdict("warn", "…", "Incomplete", f"{done} done, {left} left: run it again")
    name = failed(document)
    what = f"{name} failed" if name else document["error"].get("message", "It failed")
    if not (document.get("applied") or document.get("pending")):
        return Verdict("bad", "✗", "Failed", what)
    return Verdict("bad", "✗", "Failed", f"{what}; {done} done before, {left} not run")


def _plan(files: list[Entry]) -> Verdict:
    count = many(len(files), "file")
    if not any(file.get("risk") for file in files):  # a dry run does not look at the target
        return Verdict("calm", "▸", "Planned", f"{count} to run")
    risks = [risk(file) for file in files]
    if blocking := risks.count("block"):
        return Verdict("bad", "!", "Would block", f"{count} to run, {blocking} would block others")
    if noticed := risks.count("notice"):
        return Verdict("warn", "!", "Be aware", f"{count} to run, {noticed} with something to know")
    return Verdict("good", "✓", "No risk seen", f"{count} to run")


def _proof(document: Document) -> Verdict:
    states = [standing(entry) for entry in verified(document)]
    counts = {name: states.count(name) for name in ("proved", "irreversible", "not proved")}
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    sentence = f"{many(len(states), 'migration')}: {said}"
    if counts["not proved"] or document.get("error"):
        return Verdict("bad", "✗", "Not proved", sentence)
    return Verdict("good", "✓", "Proved", sentence)
