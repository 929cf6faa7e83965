"""A result as one HTML page that needs nothing else: no assets, no script, no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib import resources

from runner.report import wording
from runner.report.markup import block, code, e, facts, items, small, soft, swatch
from runner.report.sections import cards, plan, proof
from runner.report.wording import Document, Entry, duration
from runner.syntax import modes

_WIDTH = 1000  # units of the timeline's drawing
_LEAST = 6  # of them, so that the shortest bar is seen


def page(document: Document) -> str:
    """Return the page of a result document."""
    style = resources.files("runner.report").joinpath("page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    found = wording.verdict(document)
    title = f"{found.word} — {found.sentence}"
    body = "\n".join(part for part in _parts(document) if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{e(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _parts(document: Document) -> Iterator[str]:
    yield _header(document)
    yield "<main>"
    yield _error(document)
    if document.get("warnings"):
        yield f'<h2>Warnings</h2><article class="warn">{items(document["warnings"])}</article>'
    yield plan(document)
    yield proof(document)
    yield _timeline(document)
    yield cards(document)
    yield "</main>"
    yield (
        f"<footer>Made by <code>runner report</code> from a result of"
        f" <code>runner {e(document.get('command'))}</code>. Every lock's strength is said in words"
        f" beside its colour.</footer>"
    )


def _header(document: Document) -> str:
    found = wording.verdict(document)
    data = document.get("data")
    digest = data.get("digest") if isinstance(data, dict) else None
    version = (document.get("target") or {}).get("server_version")
    said = facts({
        "Target": e(wording.target(document)),
        "Run": code(document.get("run_id")),
        "Command": code(f"runner {document.get('command')}"),
        "Started": e(wording.moment(document.get("started_at", ""))),
        "Time": e(duration(document.get("duration_ms"))),
        "PostgreSQL": e(version),
    })  # fmt: skip
    approve = (
        "<p class='todo calm'><small>Approved by its digest, this runs exactly what is below, or"
        f" nothing:</small><br>{code(f'runner migrate --plan-digest {digest}')}</p>"
        if digest
        else ""
    )
    return (
        f'<header class="{found.tone}"><p><span class="word">{found.sign} {e(found.word)}</span>'
        f"</p><h1>{soft(found.sentence)}</h1>{said}{approve}</header>"
    )


def _error(document: Document) -> str:
    """Return the error with its place, what the server said, and what to do."""
    error = document.get("error")
    if not error:
        return ""
    todo = error.get("fix") and (
        f'<p class="todo bad"><strong>What to do:</strong> {e(error["fix"])}</p>'
    )
    if wording.unproved(document):  # each problem is said where it belongs
        return todo or ""
    place = ":".join(str(error[key]) for key in ("file", "line", "column") if error.get(key))
    said = facts({
        "SQLSTATE": code(error.get("sqlstate")),
        "Detail": e(error.get("detail")),
        "Hint": e(error.get("hint")),
        "Context": e(error.get("context")),
    })  # fmt: skip
    return "".join((
        '<h2>What went wrong</h2><article class="bad">',
        f"<p>{code(place)}</p>" if place else "",
        f"<h3>{e(error.get('message'))}</h3>",
        block(str(error["excerpt"]), exact=True) if error.get("excerpt") else "",
        said,
        items(error.get("details") or ()),
        todo or "",
        "</article>",
    ))  # fmt: skip


def _timeline(document: Document) -> str:
    """Return what was run, what failed and what was left, in the order of the run."""
    applied = list(document.get("applied") or ())
    name = wording.failed(document)
    waiting = [] if wording.planned(document) else wording.waiting(document)
    if not (applied or name or waiting):
        return ""
    total = sum(entry.get("duration_ms") or 0 for entry in applied) or 1
    rows, start = [], 0.0
    for entry in applied:
        share = (entry.get("duration_ms") or 0) / total
        rows.append(_ran(entry, start, share))
        start += share
    if name:
        rows.append(_row("✗", name, wording.failure(document), "bad"))
    rows += [_row("○", str(entry.get("file")), "not run", "quiet") for entry in waiting]
    return f'<h2>Timeline</h2><ol class="timeline">{"".join(rows)}</ol>{_legend(applied)}'


def _ran(entry: Entry, start: float, share: float) -> str:
    mode = wording.strongest(entry)
    kind = f"lock{modes.level(mode)}" if mode else "none"
    width = max(share * _WIDTH, _LEAST)
    left = min(start * _WIDTH, _WIDTH - width)
    held = f", for {duration(entry['held_ms'])}" if entry.get("held_ms") is not None else ""
    said = (
        f"{modes.words(mode)}: {wording.blocks(mode)}{held}"
        if mode
        else "no lock on what was there"
    )
    more = ["undone" if entry.get("action") == "undo" else "", wording.attempt(entry)]
    return (
        f'<li><div class="what">{soft(entry.get("file"))}'
        f"{small(' · '.join(text for text in more if text))}</div>"
        f'<div class="bar"><svg viewBox="0 0 {_WIDTH} 10" preserveAspectRatio="none"'
        f' aria-hidden="true"><rect class="track" width="{_WIDTH}" height="10"/>'
        f'<rect class="{kind}" x="{left:.1f}" width="{width:.1f}" height="10"/></svg>'
        f'<div class="lock">{e(said)}</div></div>'
        f'<div class="time">{e(duration(entry.get("duration_ms")))}</div></li>'
    )


def _row(sign: str, name: str, said: str, kind: str) -> str:
    return (
        f'<li><div class="what">{soft(name)}</div><div class="bar {kind}">{sign} {said}</div>'
        '<div class="time"></div></li>'
    )


def _legend(applied: list[Entry]) -> str:
    found_modes = {mode for entry in applied if (mode := wording.strongest(entry))}
    levels = {modes.level(mode): wording.blocks(mode) for mode in found_modes}
    found = [f"<span>{swatch(f'lock{n}')}{e(said)}</span>" for n, said in sorted(levels.items())]
    if any(not wording.strongest(entry) for entry in applied):
        found.insert(0, f"<span>{swatch('none')}no lock on what was there</span>")
    return f'<p class="legend">{"".join(found)}</p>' if applied else ""
