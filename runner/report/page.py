"""A result as one HTML page that needs nothing else: no assets, no script, no network.

What is computed for the page is here, what it looks like in page.html.j2 and page.css. The only
module that needs Jinja2.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from runner.report import fleet, highlight, wording
from runner.report.highlight import Piece
from runner.report.wording import ToRun, duration
from runner.result import Applied, Document, Lock, Plan, Planned, Proof, Relation
from runner.syntax import modes
from runner.syntax.recipes import recipe_of
from runner.syntax.scanner import scan

_LONGEST = 20_000  # characters of one text, such as a file's SQL
_UNFOLDED = 40  # lines of SQL that are shown at once
_WIDTH = 1000  # units of the timeline's drawing
_LEAST = 6  # of them, so that the shortest bar is seen

_TONES = {"none": "good", "notice": "warn", "block": "bad"}


class _Bar(NamedTuple):
    """One migration of the timeline: its place in the drawing and its strongest lock."""

    entry: Applied
    left: float
    width: float
    mode: str | None
    remark: str


class _Touched(NamedTuple):
    """A relation of a plan: the lock it will be under, its size and its traffic, if known."""

    name: str
    lock: Lock | None
    size: Relation | None


class _File(NamedTuple):
    """One file of a plan or a dry run."""

    file: ToRun
    tone: str
    word: str
    manner: str
    touched: list[_Touched]


class _Card(NamedTuple):
    """What a migration of a run touched and said; each lock with what became of its relation."""

    entry: Applied
    said: str
    locks: list[tuple[Lock, str]]


def page(document: Document) -> str:
    """Return the page of a result document."""
    style = _asset("page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    waiting = [] if wording.planned(document) else wording.waiting(document)
    proofs = wording.verified(document)
    return _environment().get_template("page.html.j2").render(
        policy=policy,
        style=Markup(style),  # noqa: S704 - our own file
        document=document,
        verdict=wording.verdict(document),
        target=wording.target(document),
        plan=wording.plan(document),
        rehearsal=wording.rehearsal(document),
        fleet=fleet.shown(document),
        files=_files(wording.planned(document)),
        proofs={
            standing: [entry for entry in proofs if wording.standing(entry) == standing]
            for standing in ("not proved", "irreversible", "proved")
        },
        bars=_bars(wording.ran(document)),
        failed=wording.failed(document),
        waiting=waiting,
        held=wording.held(document),
        legend=_legend(wording.ran(document)),
        cards=[_card(entry) for entry in wording.ran(document) if _spoke(entry)],
        standings=wording.standings(document),
        events=wording.events(document),
        findings=wording.findings(document),
        said=wording.said(document),
    )  # fmt: skip


def _asset(name: str) -> str:
    return resources.files("runner.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    """Return what renders: every value is cleaned, bounded and escaped, whoever forgets to."""
    found = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, finalize=_final,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    found.filters |= {
        "soft": _soft, "sql": _sql, "lines": _lines, "strongest": _strongest, "took": _took,
        "safely": _safely, "of_plan": _of_plan, "witness": wording.witness,
        "duration": duration, "moment": wording.moment, "size": wording.size,
        "amount": wording.amount, "rate": wording.rate, "many": wording.many,
        "standing": wording.state, "unfinished": wording.unfinished, "where": fleet.where,
        "mode": modes.words, "level": modes.level, "blocks": wording.blocks,
    }  # fmt: skip
    found.globals |= {
        "place": wording.place, "remarks": wording.remarks, "failure": wording.failure,
        "unproved": wording.unproved, "who": wording.who, "used": wording.used,
        "takes": wording.takes, "approved": wording.approved,
        "WIDTH": _WIDTH, "UNFOLDED": _UNFOLDED,
    }  # fmt: skip
    return found


def _final(value: object) -> object:
    """Return what may be shown of a value; None is nothing."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) else wording.clean(_bounded(str(value)))


def _bounded(text: str) -> str:
    return wording.bounded(text, _LONGEST)


def _safely(file: Planned) -> str:
    """Return the safe way of what a file with risks does to tables that are there."""
    if file["risk"] == "none":
        return ""
    there = {relation["relation"] for relation in file["relations"]}
    written = {lock["relation"] for lock in file["locks"] if lock.get("rewrite")}
    recipes = [recipe for each in scan(file["sql"]) if (recipe := recipe_of(each))]
    return "\n\n".join(
        recipe.text()
        for recipe in recipes
        if recipe.relation in (written if recipe.of_rewrite else there)
    )


def _soft(text: object) -> Markup:
    """Return a text with file names, which may break after each underscore."""
    return escape(_final(text)).replace("_", Markup("_<wbr>"))


def _sql(text: str) -> list[Piece]:
    """Return a file's SQL in parts to colour, of which the last says what was cut."""
    shown = wording.clean(text[:_LONGEST])
    return [*highlight.pieces(shown), Piece("", _bounded(text)[len(text[:_LONGEST]) :])]


def _lines(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n"))


def _strongest(entry: Applied | Proof) -> str | None:
    return wording.strongest(entry.get("locks", []))


def _took(proof: Proof) -> str:
    taken = {
        "up": proof.get("up_ms"),
        "down": proof.get("down_ms"),
        "up again": proof.get("up_again_ms"),
    }
    return ", ".join(f"{name} {duration(ms)}" for name, ms in taken.items() if ms is not None)


def _manner(why: str, how: str) -> str:
    return " · ".join(part for part in (why, how) if part)


def _of_plan(plan: Plan) -> list[_File]:
    return _files(wording.of_plan(plan))


def _files(files: Sequence[ToRun]) -> list[_File]:
    return [_file(file) for file in files]


def _file(file: ToRun) -> _File:
    seen = file.seen
    return _File(
        file,
        tone=_TONES[seen["risk"]] if seen else "calm",
        word=wording.RISKS[seen["risk"]] if seen else file.action,
        manner=_manner(file.why, file.how),
        touched=_touched(seen["locks"], seen["relations"]) if seen else [],
    )


def _touched(locks: list[Lock], relations: list[Relation]) -> list[_Touched]:
    modes_of = {lock["relation"]: lock for lock in locks}
    sizes = {relation["relation"]: relation for relation in relations}
    names = dict.fromkeys((*modes_of, *sizes))
    return [_Touched(name, modes_of.get(name), sizes.get(name)) for name in names]


def _bars(applied: list[Applied]) -> list[_Bar]:
    """Return the bars of what was run, one after the other."""
    total = sum(entry["duration_ms"] for entry in applied) or 1
    bars, start = [], 0.0
    for entry in applied:
        share = entry["duration_ms"] / total
        width = max(share * _WIDTH, _LEAST)
        left = min(start * _WIDTH, _WIDTH - width)
        remarks = ["undone" if entry["action"] == "undo" else "", wording.attempt(entry)]
        said = " · ".join(filter(None, remarks))
        bars.append(_Bar(entry, left, width, _strongest(entry), said))
        start += share
    return bars


def _legend(applied: list[Applied]) -> dict[str, str]:
    """Return what the colours of the timeline stand for, by their class."""
    strongest = {_strongest(entry) for entry in applied}
    said = {f"lock{modes.level(mode)}": wording.blocks(mode) for mode in strongest if mode}
    none = {"none": "no lock on what was there"} if None in strongest else {}
    return none | dict(sorted(said.items()))


def _spoke(entry: Applied) -> bool:
    return bool(entry.get("locks") or entry["notices"] or entry["attempts"] > 1)


def _card(entry: Applied) -> _Card:
    held = entry.get("held_ms")
    said = [
        _manner(entry["why"], wording.manner(entry)),
        wording.attempt(entry),
        "" if held is None else f"locks held for {duration(held)}",
    ]
    effects = {"rewritten": entry.get("rewritten", []), "dropped": entry.get("dropped", [])}
    return _Card(
        entry,
        " · ".join(filter(None, said)),
        [
            (lock, ", ".join(word for word, names in effects.items() if lock["relation"] in names))
            for lock in entry.get("locks", [])
        ],
    )
