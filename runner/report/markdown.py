"""A result as Markdown for a pull request's comment: short, bounded, nothing in it is markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from runner.report import wording
from runner.report.markup import e
from runner.report.wording import Document, Entry, duration
from runner.syntax import modes

LIMIT = 60_000  # characters; GitHub takes 65,536
_SQL = 4_000  # of one file
_CUT = "\n\n… cut here: a comment is limited. The page (`runner report -o`) has everything.\n"
_SIGNS = {"none": "✓", "notice": "⚠", "block": "✗"}


def markdown(document: Document) -> str:
    """Return the comment of a result document."""
    text = ""
    for section in _sections(document):
        if len(text) + len(section) + 2 + len(_CUT) > LIMIT:
            return text + _CUT
        text += section + "\n\n"
    return text.rstrip("\n") + "\n"


def _sections(document: Document) -> Iterator[str]:
    """Yield the comment's pieces, what matters most first, so that a cut takes the rest."""
    found = wording.verdict(document)
    yield f"### {found.sign} {plain(found.word)} — {plain(found.sentence)}"
    yield _facts(document)
    if document.get("error"):
        yield from _error(document["error"], short=wording.unproved(document))
    yield from (f"> **Warning:** {plain(text)}" for text in document.get("warnings") or ())
    yield from _plan(document)
    yield from _proof(document)
    yield from _run(document)


def plain(text: object) -> str:
    """Return prose on one line in which nothing is markup, a link, a mention or HTML."""
    flat = " ".join(wording.clean(text).split())
    safe = re.sub(r"([\\`*_{}\[\]#~!$])", r"\\\1", html.escape(flat, quote=False))
    # A table's row is cut at pipes before anything else is read.
    return _unlinked(safe).replace("|", "&#124;")


def _unlinked(text: str) -> str:
    """Return the text with a joiner that nobody sees where a link or a mention would begin."""
    return re.sub(r"(?<=[@#])(?=\w)|(?<=\w)(?=://)|(?<=\bwww)(?=\.)", "\u2060", text)


def code(text: object) -> str:
    """Return a name on one line, whatever backticks or pipes it has."""
    flat = " ".join(wording.clean(text).split())
    if re.search(r"[`|\\]", flat):
        return f"<code>{plain(flat)}</code>"
    return f"`{flat}`" if flat else ""


def block(text: str, language: str = "") -> str:
    """Return lines as they are, in a fence longer than any in them."""
    inside = wording.bounded(wording.clean(text), _SQL).rstrip("\n")
    fence = "`" * max(3, max(map(len, re.findall("`+", inside)), default=0) + 1)
    return f"{fence}{language}\n{inside}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table's lines, none without rows; the cells are Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines] if lines else []


def _facts(document: Document) -> str:
    data = document.get("data")
    digest = data.get("digest") if isinstance(data, Mapping) else None
    parts = [
        plain(wording.target(document)),
        f"run {code(document.get('run_id'))}",
        plain(wording.moment(document.get("started_at", ""))),
        f"took {duration(document.get('duration_ms'))}" if document.get("duration_ms") else "",
    ]
    line = " · ".join(part for part in parts if part)
    return (
        f"{line}\n\nTo run exactly this: {code(f'runner migrate --plan-digest {digest}')}"
        if digest
        else line
    )


def _error(error: Entry, *, short: bool) -> Iterator[str]:
    place = ":".join(str(error[key]) for key in ("file", "line", "column") if error.get(key))
    state = f" (SQLSTATE {code(error['sqlstate'])})" if error.get("sqlstate") else ""
    yield f"**{plain(error.get('message'))}**{state}" + (f" at {code(place)}" if place else "")
    if error.get("excerpt"):
        yield block(str(error["excerpt"]))
    details = [f"{key}: {error[key]}" for key in ("detail", "hint", "context") if error.get(key)]
    details += [] if short else [str(text) for text in error.get("details") or ()]
    if details:
        yield "\n".join(f"- {plain(text)}" for text in details)
    if error.get("fix"):
        yield f"**What to do:** {plain(error['fix'])}"


def _plan(document: Document) -> Iterator[str]:
    files = wording.planned(document)
    data = document.get("data")
    longest = data.get("longest_transaction") if isinstance(data, Mapping) else None
    if longest:
        age = duration((longest.get("seconds") or 0) * 1000)
        who = f"pid {longest.get('pid')}, {longest.get('user')}, {longest.get('application')}"
        query = code(longest.get("query"))
        yield f"> **Longest open transaction there:** {age}, {plain(who)}: {query}"
    rows = [
        (
            code(file.get("file")),
            _risk(file),
            "<br>".join(plain(text) for text in _remarks(file)),
        )
        for file in files
    ]  # fmt: skip
    lines = table(("file", "risk", "why"), rows)
    yield from ["\n".join(lines)] if lines else []
    for file in files:
        if file.get("sql"):
            name = _unlinked(e(file.get("file")))  # inside HTML, Markdown is not read
            text = block(str(file["sql"]), "sql")
            yield f"<details><summary>{name}</summary>\n\n{text}\n\n</details>"


def _risk(file: Entry) -> str:
    word = wording.risk(file)
    return f"{_SIGNS[word]} {wording.RISKS[word]}" if file.get("risk") else ""


def _remarks(file: Entry) -> list[str]:
    said = [str(text) for text in file.get("risks") or ()]
    said += [f"irreversible: {file['irreversible']}"] if file.get("irreversible") else []
    return said + ([] if file.get("transactional", True) else ["without a transaction"])


def _proof(document: Document) -> Iterator[str]:
    signs = {"proved": "✓", "irreversible": "–", "not proved": "✗"}  # noqa: RUF001
    entries = wording.verified(document)
    for entry in entries:
        if wording.standing(entry) == "not proved":
            yield f"**{plain(entry.get('file'))}**"
            yield block("\n".join(map(str, entry.get("problems") or ())), "diff")
    rows = [
        (
            code(entry.get("file")),
            f"{signs[wording.standing(entry)]} {wording.standing(entry)}",
            plain(entry.get("irreversible") or ""),
            _lock(entry),
        )
        for entry in entries
    ]
    lines = table(("migration", "undo", "reason", "strongest lock"), rows)
    yield from ["\n".join(lines)] if lines else []


def _run(document: Document) -> Iterator[str]:
    rows = [
        (
            code(entry.get("file")),
            "✓ undone" if entry.get("action") == "undo" else "✓ applied",
            duration(entry.get("duration_ms")),
            _lock(entry),
        )
        for entry in document.get("applied") or ()
    ]
    name = wording.failed(document)
    rows += [(code(name), f"✗ {wording.failure(document)}", "", "")] if name else []
    if not wording.planned(document):
        left = wording.waiting(document)
        rows += [(code(entry.get("file")), "not run", "", "") for entry in left]
    lines = table(("migration", "done", "time", "strongest lock"), rows)
    yield from ["\n".join(lines)] if lines else []


def _lock(entry: Entry) -> str:
    mode = wording.strongest(entry)
    if not mode:
        return ""
    names = [code(lock["relation"]) for lock in wording.locks(entry) if lock["mode"] == mode]
    rewritten = ", ".join(code(name) for name in entry.get("rewritten") or ())
    text = f"{modes.words(mode)} on {', '.join(names)}"
    return f"{text}; rewrites {rewritten}" if rewritten else text
