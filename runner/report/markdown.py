"""A result as Markdown for a pull request's comment: short, bounded, nothing in it is markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

from runner.errors import Error
from runner.report import wording
from runner.report.wording import ToRun, clean, duration
from runner.result import Applied, Document, Plan, Proof, Risk
from runner.syntax import modes

LIMIT = 60_000  # characters; GitHub takes 65,536
_SQL = 4_000  # of one file
_CUT = "\n\n… cut here: a comment is limited. The page (`runner report -o`) has everything.\n"
_SIGNS: dict[Risk, str] = {"none": "✓", "notice": "⚠", "block": "✗"}


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
    if document["error"]:
        yield from _error(document["error"], short=wording.unproved(document))
    yield from (f"> **Warning:** {plain(text)}" for text in document["warnings"])
    yield from _fleet(document)
    yield from _plan(document)
    yield from _proof(document)
    yield from _run(document)
    yield from _listed(document)


def _fleet(document: Document) -> Iterator[str]:
    """Yield what would run in how many targets, and how many are where; the error says who."""
    found = wording.fleet(document)
    if found is None:
        return
    yield from table(
        ("to run", "targets", "approved by"),
        [
            (", ".join(map(code, group["files"])) or "nothing", f"{group['targets']:,}",
             code(group["digest"]))
            for group in found["groups"]
        ],
    )  # fmt: skip
    for group in found["groups"]:
        if "plan" in group and group["files"]:
            yield f"As {code(wording.witness(group))} sees it:"
            yield from _files(wording.of_plan(group["plan"]))
    where = wording.standing_of(found["members"])
    yield from table(
        ("state", "version", "targets"),
        [(plain(state), plain(version or "none"), f"{count:,}") for state, version, count in where],
    )


def plain(text: object) -> str:
    """Return prose on one line in which nothing is markup, a link, a mention or HTML."""
    flat = " ".join(clean(text).split())
    safe = re.sub(r"([\\`*_{}\[\]#~!$])", r"\\\1", html.escape(flat, quote=False))
    # A table's row is cut at pipes before anything else is read.
    return _unlinked(safe).replace("|", "&#124;")


def _unlinked(text: str) -> str:
    """Return the text with a joiner that nobody sees where a link or a mention would begin."""
    return re.sub(r"(?<=[@#])(?=\w)|(?<=\w)(?=://)|(?<=\bwww)(?=\.)", "\u2060", text)


def code(text: object) -> str:
    """Return a name on one line, whatever backticks or pipes it has."""
    flat = " ".join(clean(text).split())
    if re.search(r"[`|\\]", flat):
        return f"<code>{plain(flat)}</code>"
    return f"`{flat}`" if flat else ""


def block(text: str, language: str = "") -> str:
    """Return lines as they are, in a fence longer than any in them."""
    inside = wording.bounded(clean(text), _SQL).rstrip("\n")
    fence = "`" * max(3, max(map(len, re.findall("`+", inside)), default=0) + 1)
    return f"{fence}{language}\n{inside}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table, nothing without rows; the cells are Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if lines:
        yield "\n".join((f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines))


def _facts(document: Document) -> str:
    parts = [
        plain(wording.target(document)),
        f"run {code(document['run_id'])}",
        plain(wording.moment(document["started_at"])),
        f"took {duration(document['duration_ms'])}" if document["duration_ms"] else "",
    ]
    if found := wording.rehearsal(document):
        parts.append(plain(wording.used(found)))
    line = " · ".join(part for part in parts if part)
    if not (plan := wording.plan(document)):
        return line
    command = code(wording.approved(plan))
    return f"{line}\n\nTo run exactly this: {command}"


def _error(error: Error, *, short: bool) -> Iterator[str]:
    place = wording.place(error)
    state = f" (SQLSTATE {code(error['sqlstate'])})" if error.get("sqlstate") else ""
    yield f"**{plain(error['message'])}**{state}" + (f" at {code(place)}" if place else "")
    if excerpt := error.get("excerpt"):
        yield block(excerpt)
    details = [f"{name}: {text}" for name, text in wording.remarks(error)]
    details += [] if short else error["details"]
    if details:
        yield "\n".join(f"- {plain(text)}" for text in details)
    if error["fix"]:
        yield f"**What to do:** {plain(error['fix'])}"


def _plan(document: Document) -> Iterator[str]:
    if plan := wording.plan(document):
        yield from _longest(plan)
    yield from _files(wording.planned(document))


def _files(files: Sequence[ToRun]) -> Iterator[str]:
    rows = [
        (code(file.file), _risk(file), "<br>".join(map(plain, _remarks(file)))) for file in files
    ]
    yield from table(("file", "risk", "why"), rows)
    for file in files:
        if file.sql:
            name = _unlinked(html.escape(clean(file.file)))  # inside HTML, Markdown is not read
            text = block(file.sql, "sql")
            yield f"<details><summary>{name}</summary>\n\n{text}\n\n</details>"


def _lines(texts: Sequence[str]) -> str:
    return "<br>".join(plain(text) for text in texts if text)


def _longest(plan: Plan) -> Iterator[str]:
    if longest := plan["longest_transaction"]:
        age, who = duration(longest["seconds"] * 1000), plain(wording.who(longest))
        yield f"> **Longest open transaction there:** {age}, {who}: {code(longest['query'] or '')}"


def _risk(file: ToRun) -> str:
    if not file.seen:
        return ""
    return f"{_SIGNS[file.seen['risk']]} {wording.RISKS[file.seen['risk']]}"


def _remarks(file: ToRun) -> list[str]:
    said = []
    if file.seen:
        said += wording.judged(file.seen)
        said += filter(None, [wording.takes(file.seen["takes"])])
        reason = file.seen["irreversible"]
        said += [f"irreversible: {reason}"] if reason else []
    return said + ([] if file.transactional else [file.how])


def _proof(document: Document) -> Iterator[str]:
    signs = {"proved": "✓", "irreversible": "–", "not proved": "✗"}  # noqa: RUF001
    entries = wording.verified(document)
    for entry in entries:
        if wording.standing(entry) == "not proved":
            yield f"**{plain(entry['file'])}**"
            yield block("\n".join(entry["problems"]), "diff")
    rows = [
        (
            code(entry["file"]),
            f"{signs[wording.standing(entry)]} {wording.standing(entry)}",
            plain(entry["irreversible"] or ""),
            _lock(entry),
        )
        for entry in entries
    ]
    yield from table(("migration", "undo", "reason", "strongest lock"), rows)


def _run(document: Document) -> Iterator[str]:
    rows = [
        (
            code(entry["file"]),
            f"✓ {wording.done(document, entry)}",
            duration(entry["duration_ms"]),
            _lock(entry),
        )
        for entry in wording.ran(document)
    ]
    name = wording.failed(document)
    rows += [(code(name), f"✗ {wording.failure(document)}", "", "")] if name else []
    if not wording.planned(document):
        rows += [
            (code(task["file"]), plain(wording.unfinished(task)), "", "")
            for task in wording.waiting(document)
        ]
    rows += [(code(task["file"]), plain(task["why"]), "", "") for task in wording.held(document)]
    yield from table(("migration", "done", "time", "strongest lock"), rows)


def _lock(entry: Applied | Proof) -> str:
    locks = entry.get("locks", [])
    mode = wording.strongest(locks)
    if not mode:
        return ""
    names = [code(lock["relation"]) for lock in locks if lock["mode"] == mode]
    rewritten = ", ".join(code(name) for name in entry.get("rewritten", []))
    text = f"{modes.words(mode)} on {', '.join(names)}"
    return f"{text}; rewrites {rewritten}" if rewritten else text


def _listed(document: Document) -> Iterator[str]:
    """Yield what the commands that only look have found, and what the others say."""
    standings = [
        (plain(entry["version"]), plain(entry["description"]), plain(wording.state(entry)),
         plain(wording.moment(entry["applied_at"] or "")), plain(entry["applied_by"] or ""))
        for entry in wording.standings(document)
    ]  # fmt: skip
    yield from table(("version", "description", "state", "applied at", "by"), standings)
    events = [
        (plain(wording.moment(entry["at"])), plain(entry["action"]), plain(entry["version"] or ""),
         plain(entry["description"] or ""), plain(entry["by"]), code(entry["run_id"]))
        for entry in wording.events(document)
    ]  # fmt: skip
    yield from table(("at", "action", "version", "description", "by", "run"), events)
    findings = [
        (code(f"{found['file']}:{found['line']}:{found['column']}"), code(found["rule"]),
         _lines([found["message"], found["fix"]]))
        for found in wording.findings(document)
    ]  # fmt: skip
    yield from table(("place", "rule", "what"), findings)
    if said := wording.said(document):
        yield "\n".join(f"- {plain(text)}" for text in said)
