"""The page's longer sections: a plan's files, a proof's migrations, what a run touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.report import wording
from runner.report.markup import block, code, e, items, lock, small, soft, sql, table
from runner.report.wording import Document, Entry, duration

_TONES = {"none": "good", "notice": "warn", "block": "bad"}
_SIGNS = {"good": "✓", "warn": "!", "bad": "✗", "calm": "▸"}
_STANDINGS = {"proved": "good", "irreversible": "warn", "not proved": "bad"}
_HOW = {True: "in a transaction", False: "statement by statement, without a transaction"}


def plan(document: Document) -> str:
    """Return the files that would run: risk in words, locks, sizes, traffic, SQL."""
    files = wording.planned(document)
    if not files:
        return ""
    data = document.get("data")
    longest = data.get("longest_transaction") if isinstance(data, Mapping) else None
    return (
        (_longest(longest) if longest else "")
        + "<h2>What would run</h2>"
        + "".join(_file(file) for file in files)
    )


def _longest(session: Entry) -> str:
    """Return the transaction that a lock would have to wait for."""
    age = duration((session.get("seconds") or 0) * 1000)
    return (
        '<h2>In the way now</h2><article class="warn">'
        f"<p>The longest open transaction there has lasted {age}."
        " A lock that meets it has to wait, and everything behind that lock with it.</p>"
        f'<p class="quiet">pid {e(session.get("pid"))}, user {e(session.get("user"))},'
        f" application {e(session.get('application') or '(none)')}</p>"
        f"{block(str(session.get('query') or ''))}</article>"
    )


def _file(file: Entry) -> str:
    tone = _TONES[wording.risk(file)] if file.get("risk") else "calm"
    word = wording.RISKS[wording.risk(file)] if file.get("risk") else str(file.get("action") or "")
    reason = file.get("irreversible")
    return "".join((
        f'<article class="{tone}">{_top(file, tone, word)}',
        f'<p class="quiet">{e(_manner(file))}</p>',
        items(file.get("risks") or ()),
        f'<p class="todo warn"><strong>Irreversible:</strong> {e(reason)}</p>' if reason else "",
        _relations(file),
        sql(file.get("sql")),
        "</article>",
    ))  # fmt: skip


def _top(entry: Entry, tone: str, word: str) -> str:
    sign = f"{_SIGNS[tone]} " if tone in _SIGNS else ""
    badge = f'<span class="word {tone}">{sign}{e(word)}</span>' if word else ""
    return f'<div class="top"><h3>{soft(entry.get("file"))}</h3>{badge}</div>'


def _manner(entry: Entry) -> str:
    how = _HOW[bool(entry["transactional"])] if "transactional" in entry else ""
    return " · ".join(str(part) for part in (entry.get("why"), how) if part)


def _relations(file: Entry) -> str:
    """Return one row for each relation: the lock it will be under, its size and its traffic."""
    known = {str(found.get("relation")): found for found in file.get("relations") or ()}
    locks = {str(found["relation"]): found for found in wording.locks(file)}
    rows = []
    for name in dict.fromkeys((*locks, *known)):
        found, relation = locks.get(name) or {}, known.get(name) or {}
        rewritten = small("the table is rewritten" if found.get("rewrite") else "")
        rows.append((
            code(name),
            (lock(found["mode"]) if found else "") + rewritten,
            e(wording.size(relation.get("bytes")))
            + small(wording.amount(relation.get("rows")), after=" rows"),
            _traffic(relation),
        ))  # fmt: skip
    return table(("relation", "lock", "size", "traffic"), rows)


def _traffic(relation: Entry) -> str:
    parts = [
        f"{wording.rate(relation[key])} {what}/s"
        for key, what in (("writes_per_second", "writes"), ("reads_per_second", "reads"))
        if relation.get(key) is not None
    ]
    return parts[0] + "".join(small(part) for part in parts[1:]) if parts else ""


def proof(document: Document) -> str:
    """Return each migration with what was proved of it, the ones that were not first."""
    entries = wording.verified(document)
    if not entries:
        return ""
    by_standing = [
        (name, [entry for entry in entries if wording.standing(entry) == name])
        for name in ("not proved", "irreversible", "proved")
    ]
    return "".join(
        f"<h2>{e(name.capitalize())} ({len(found)})</h2>"
        + (_proved(found) if name == "proved" else "".join(_unproved(entry) for entry in found))
        for name, found in by_standing
        if found
    )


def _unproved(entry: Entry) -> str:
    standing = wording.standing(entry)
    tone = _STANDINGS[standing]
    reason = entry.get("irreversible")
    problems = [str(line) for line in entry.get("problems") or ()]
    return "".join((
        f'<article class="{tone}">{_top(entry, tone, standing)}',
        f"<p>{e(reason)}</p>" if reason else "",
        block("\n".join(problems)) if problems else "",
        "</article>",
    ))  # fmt: skip


def _proved(entries: list[Entry]) -> str:
    rows = [
        (
            soft(entry.get("file")) + small(entry.get("undo"), before="undone by "),
            _times(entry),
            _strongest(entry),
        )
        for entry in entries
    ]  # fmt: skip
    return f'<article class="good">{table(("migration", "took", "strongest lock"), rows)}</article>'


def _times(entry: Entry) -> str:
    names = {"up_ms": "up", "down_ms": "down", "up_again_ms": "up again"}
    taken = {name: entry.get(key) for key, name in names.items()}
    return e(", ".join(f"{name} {duration(ms)}" for name, ms in taken.items() if ms is not None))


def _strongest(entry: Entry) -> str:
    mode = wording.strongest(entry)
    names = ", ".join(str(name) for name in entry.get("rewritten") or ())
    return (lock(mode) if mode else "") + small(names, before="rewrites ")


def cards(document: Document) -> str:
    """Return what each migration of a run touched and said; silent ones are left out."""
    found = [card for entry in document.get("applied") or () if (card := _card(entry))]
    return f"<h2>What was touched</h2>{''.join(found)}" if found else ""


def _card(entry: Entry) -> str:
    marks: list[tuple[str, Any]] = [
        ("rewritten", set(entry.get("rewritten") or ())),
        ("dropped", set(entry.get("dropped") or ())),
    ]
    rows = [
        (
            code(found["relation"]),
            lock(found["mode"]),
            e(", ".join(word for word, names in marks if found["relation"] in names)),
        )
        for found in wording.locks(entry)
    ]
    notices = [str(text) for text in entry.get("notices") or ()]
    if not (rows or notices or (entry.get("attempts") or 1) > 1):
        return ""
    said = [_manner(entry), wording.attempt(entry)]
    if entry.get("held_ms") is not None:
        said.append(f"locks held for {duration(entry['held_ms'])}")
    return "".join((
        f"<article><h3>{soft(entry.get('file'))}</h3>",
        f'<p class="quiet">{e(" · ".join(part for part in said if part))}</p>',
        table(("relation", "lock", "effect"), rows),
        block("\n".join(notices)) if notices else "",
        "</article>",
    ))  # fmt: skip
