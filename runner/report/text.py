"""The result for people and for machines: a table, JSON."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runner.errors import Error
from runner.report import wording
from runner.report.columns import table
from runner.report.wording import ToRun, and_more, clean, duration, many, place, remarks
from runner.result import Document, Group, Member, Plan

_RED, _GREEN, _PLAIN = "\033[31m", "\033[32m", "\033[0m"
_MOMENTS = frozenset({"at", "applied_at"})  # columns that say when


# Controls beyond ASCII, and what turns the direction of text or hides in it. Lone halves of pairs
# are nothing that a file could hold.
_OBEYED = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

# Characters of one text where all of them together are too many, tried in turn. No name of a file,
# run or digest is as long as the last.
_LONGEST = (100_000, 20_000, 4_000, 1_000)


def as_json(document: Mapping[str, Any]) -> str:
    """Return the document as one JSON text; what a terminal would obey is written as a number."""
    written = io.StringIO()  # json.dumps would hold every word of it beside the whole
    json.dump(document, written, indent=2, ensure_ascii=False)
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", written.getvalue())


def fitted(document: Document, most: int) -> Document:
    """Return the document with its texts cut so far that it fits, and saying so where they are.

    Parameters:
        most: bytes of its JSON, written as a text inside of JSON again: an error's travels so.
    """
    shown, cuts = document, iter(_LONGEST)
    while len(json.dumps(json.dumps(shown))) > most:
        longest = next(cuts, None)
        if longest is None:
            left_out = f"the answer has no data: it would be over {most:,} bytes"
            return {**shown, "data": None, "warnings": [*shown["warnings"], left_out]}
        shown = _cut(document, longest)
    return shown


def _cut(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return wording.bounded(value, longest)
    if isinstance(value, list):
        return [_cut(entry, longest) for entry in value]
    if isinstance(value, dict):
        return {name: _cut(entry, longest) for name, entry in value.items()}
    return value


def write_text(path: Path, text: str) -> None:
    """Write a text and a line end into a file, whose folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", encoding="utf-8", newline="\n")


class Screen(NamedTuple):
    """What a text is shown on.

    `colour`: it shows colours; `width`: its columns, None where nothing limits them; `told`: the
    files that were seen there as they were done; `asked`: its reader is asked next whether what a
    result says is to be done.
    """

    colour: bool = False
    width: int | None = None
    told: frozenset[str] = frozenset()
    asked: bool = False


PAPER = Screen()


def as_text(document: Document, last_line: str, screen: Screen = PAPER) -> str:
    """Return the document as a person reads it: what was done, what is left, what went wrong.

    Parameters:
        last_line: the outcome, as `last_line` says it.
    """
    last = clean(last_line)
    if screen.colour and (document["error"] or document["outcome"] != "planned"):
        last = f"{_RED if document['error'] else _GREEN}{last}{_PLAIN}"
    return "\n".join([
        *_applied(document, screen),
        *_pending(document, colour=screen.colour),
        *(clean(f"left: {task['file']} {task['why']}") for task in wording.held(document)),
        *(clean(f"warning: {warning}") for warning in document["warnings"]),
        *map(clean, error_lines(document["error"])),
        last,
    ])  # fmt: skip


def _applied(document: Document, screen: Screen) -> list[str]:
    rows = [
        (
            clean(entry["version"]),
            clean(entry["description"]),
            wording.done(document, entry)
            + (f", attempt {entry['attempts']}" if entry["attempts"] > 1 else ""),
            duration(entry["duration_ms"]),
        )
        for entry in wording.ran(document)
        if entry["file"] not in screen.told
    ]
    return table(("version", "description", "done", "time"), rows, screen.width) if rows else []


def last_line(
    document: Document,
    summary: Callable[[Document], str] | None = None,
    *,
    asked: bool = False,
) -> str:
    """Return the outcome in a line: what, where, and how many.

    Parameters:
        summary: what a command says that only looks; None: it is a run.
        asked: a question follows, whether it is to be done.
    """
    if summary:
        failed = f"failed (exit code {document['exit_code']})"
        return (failed if document["error"] else summary(document)) + _where(document)
    run = f"; run {document['run_id']}" if document["run_id"] != "-" else ""
    return f"{_outcome(document, asked=asked)}{_where(document)}{run}"


def _outcome(document: Document, *, asked: bool) -> str:
    count, left = len(document["applied"]), len(wording.waiting(document))
    match document["outcome"]:
        case "applied":
            what = f"done: {many(count, 'migration')}" if count else "done"
            return f"{what} in {duration(document['duration_ms'])}"
        case "planned" if document["pending"] or wording.said(document):
            return _what_would(document, left, asked=asked)
        case "noop" | "planned":
            return "nothing to do"
        case "incomplete":
            return f"incomplete: {count} done, {left} left; run again to go on"
        case "failed":
            counts = ((count, "done before"), (left, "not run"))
            said = ", ".join(f"{number} {word}" for number, word in counts if number)
            failed = f"failed (exit code {document['exit_code']})"
            return f"{failed}: {said}" if said else failed


def _what_would(document: Document, left: int, *, asked: bool) -> str:
    if asked:
        return f"{left} to undo" if document["pending"] else "this would be written"
    if not document["pending"]:
        return "nothing was written; to do it: the same command with --yes"
    if document["command"] == "rollback":
        return f"nothing was undone: {left} to undo; to do it: the same command with --yes"
    return f"planned only, nothing was run: {left} to run"


def _where(document: Document) -> str:
    found = wording.target(document)
    return f"; {found}" if found else ""


def standings(document: Document) -> str:
    """Say how many migrations are in which state."""
    return wording.counted(wording.standings(document))


def backfills(document: Document) -> list[str]:
    """Say how far each backfill is that has begun."""
    return [
        clean(f"{entry['file'] or entry['version']}: {wording.backfill(found)}")
        for entry in wording.standings(document)
        if (found := entry.get("backfill"))
    ]


def entries(document: Document) -> str:
    """Say how many entries were listed."""
    return many(len(wording.events(document)), "entry", "entries")


def accepted(document: Document) -> str:
    """Say whether drift was accepted, or that there is none."""
    if document["outcome"] == "noop":
        return "nothing was changed outside the migrations"
    return "accepted; the next look starts from here"


def members(document: Document) -> str:
    """Say how many targets of a fleet are in which state."""
    found = wording.fleet(document)
    return wording.counted_targets(found["members"]) if found else ""


def fleet(document: Document) -> list[str]:
    """Return how many targets of a fleet are where, and what would run in how many of them."""
    found = wording.fleet(document)
    if found is None:
        return []
    if document["command"] != "fleet plan":
        return _standing(found["members"])
    lines = [line for group in found["groups"] for line in _group(group)]
    digests = [group["digest"] for group in found["groups"] if group["files"]]
    if len(digests) > 1:
        lines += [clean(f"to approve all of them: --plan-digest {','.join(digests)}"), ""]
    return lines


def _standing(members: Sequence[Member]) -> list[str]:
    rows = [
        (state, clean(version or "-"), f"{count:,}")
        for state, version, count in wording.standing_of(members)
    ]
    return table(("state", "version", "targets"), rows) if rows else []


def _group(group: Group) -> list[str]:
    names = and_more(group["examples"], group["targets"] - len(group["examples"]), "")
    closer = wording.of_plan(group["plan"]) if "plan" in group else []
    return [
        clean(f"{many(group['targets'], 'target')} at {group['version'] or 'nothing yet'}"),
        clean(f"  {', '.join(names).rstrip()}"),
        clean(f"  to run: {', '.join(group['files']) or 'nothing'}"),
        clean(f"  digest: {group['digest']}"),
        *(
            [clean(f"  as {wording.witness(group)} sees it: {wording.outlook(closer).word}")]
            if closer
            else []
        ),
        "",
        *_shown(closer),
    ]


def proofs(document: Document) -> str:
    """Say how many migrations are proved."""
    found = wording.verified(document)
    count = sum(entry["proved"] for entry in found)
    text = f"{count} of {len(found)} proved"
    return text if count == len(found) else f"{text}, the others are irreversible"


def rehearsed(document: Document) -> str:
    """Say what a rehearsal took."""
    found = wording.rehearsal(document)
    return wording.used(found) if found and found["files"] else "nothing to rehearse"


def fine(_: Document) -> str:
    """Say that nothing was found."""
    return "every file is fine"


def strings(document: Document) -> list[str]:
    """Return data that is lines already."""
    return [clean(line) for line in wording.said(document)]


def findings(document: Document) -> list[str]:
    """Return the linter's findings as editors and terminals read them, fixes below them."""
    lines = []
    for found in wording.findings(document):
        where = f"{found['file']}:{found['line']}:{found['column']}"
        lines.append(f"{where}: {found['rule']}: {found['message']}")
        lines += [f"  {found['fix']}"] if found["fix"] else []
        if safe := found.get("safe"):
            lines += ["  the safe way:", *(f"    {line}" for line in safe.split("\n"))]
    return [clean(line) for line in lines]


def table_of(document: Document, columns: Sequence[str], screen: Screen = PAPER) -> list[str]:
    """Return the data's entries as a table of some of their fields, nothing without data."""
    rows: list[Any] = [
        *wording.standings(document), *wording.events(document), *wording.verified(document),
    ]  # fmt: skip
    cells = [[clean(cell) for cell in _cells(entry, columns)] for entry in rows]
    head = [column.removesuffix("_ms") for column in columns]
    return table(head, cells, screen.width, whole=_MOMENTS) if rows else []


def _cells(entry: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return [_cell(column, entry[column]) for column in columns]


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if column in _MOMENTS:
        return wording.moment(value)
    return duration(value) if column == "duration_ms" else str(value)


def _pending(document: Document, *, colour: bool) -> list[str]:
    """Return what is left undone, or what a plan would do; what failed is the error's."""
    if document["outcome"] != "planned":
        left = ", ".join(entry["file"] for entry in wording.waiting(document))
        return [clean(f"not run: {left}")] if left else []
    lines = _shown(wording.planned(document), colour=colour)
    plan = wording.plan(document)
    return lines + [clean(line) for line in (_of_plan(plan) if lines and plan else [])]


def _shown(files: Sequence[ToRun], *, colour: bool = False) -> list[str]:
    """Return files of a plan with their SQL."""
    from runner.report.preview import preview  # noqa: PLC0415 - it reads SQL, most results hold none

    lines = []
    for file in files:
        lines += [*map(clean, _head(file)), *preview(file.sql, colour=colour), ""]
    return lines


def _head(file: ToRun) -> list[str]:
    """Return what stands above a file's SQL: why and how it runs and, if looked for, its risk."""
    lines = [f"-- {file.action} {file.file} ({file.why}), {file.how}"]
    if file.seen:
        lines += [f"--   {said}" for said in wording.judged(file.seen)]
        expected = wording.takes(file.seen["takes"])
        lines += [f"--   {expected}"] if expected else []
        reason = file.seen["irreversible"]
        lines += [f"--   irreversible: {reason}"] if reason else []
    return lines


def digest(document: Document) -> str | None:
    """Return the digest of a plan, None of anything else."""
    plan = wording.plan(document)
    return plan["digest"] if plan else None


def _of_plan(plan: Plan) -> list[str]:
    lines = []
    if longest := plan["longest_transaction"]:
        lines.append(
            f"longest open transaction: {duration(longest['seconds'] * 1000)},"
            f" {wording.who(longest)}: {' '.join((longest['query'] or '').split())}"
        )
    return [*lines, f"digest: {plan['digest']}"]


def error_lines(error: Error | None) -> list[str]:
    """Return an error as a person reads it: where, what, why, what to do."""
    if not error:
        return []
    where = place(error)
    state = f" (SQLSTATE {error['sqlstate']})" if error.get("sqlstate") else ""
    lines = [
        f"{where}: {error['message']}{state}" if where else f"error: {error['message']}{state}"
    ]
    if excerpt := error.get("excerpt"):
        lines.append(excerpt)
    lines += [f"{name}: {text}" for name, text in remarks(error)]
    lines += [f"  {detail}" for detail in error["details"]]
    if error["fix"]:
        lines.append(f"what to do: {error['fix']}")
    return lines
