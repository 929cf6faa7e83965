"""The result for people and for machines: a table, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from runner.errors import Error
from runner.report.preview import preview
from runner.report.wording import duration, many, place, remarks
from runner.result import Document, Finding, Plan, Planned, Preview, Proofs, Standing, Task

UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_RED, _GREEN, _PLAIN = "\033[31m", "\033[32m", "\033[0m"
_VERBS = {"apply": "applied", "repeat": "applied", "undo": "undone"}


def as_json(document: Mapping[str, Any]) -> str:
    """Return the document as one JSON text."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def write_text(path: Path, text: str) -> None:
    """Write a text and a line end into a file, whose folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", encoding="utf-8", newline="\n")


def as_text(document: Document, last_line: str, *, colour: bool = False) -> str:
    """Return the document as a person reads it: what was done, what is left, what went wrong.

    Parameters:
        last_line: the outcome, as `last_line` says it.
    """
    text = UNPRINTABLE.sub("�", "\n".join([*_lines(document), last_line]))
    if not colour:
        return text
    paint = _RED if document["error"] else _GREEN
    before, _, last = text.rpartition("\n")
    return f"{before}\n{paint}{last}{_PLAIN}" if before else f"{paint}{last}{_PLAIN}"


def _lines(document: Document) -> list[str]:
    lines: list[str] = []
    if document["applied"]:
        lines += table(
            ("version", "description", "done", "time"),
            [
                (
                    entry["version"],
                    entry["description"],
                    _VERBS[entry["action"]]
                    + (f", attempt {entry['attempts']}" if entry["attempts"] > 1 else ""),
                    duration(entry["duration_ms"]),
                )
                for entry in document["applied"]
            ],
        )
    lines += _pending(document)
    lines += [f"warning: {warning}" for warning in document["warnings"]]
    return lines + error_lines(document["error"])


def last_line(document: Document, summary: Callable[[Document], str] | None = None) -> str:
    """Return the outcome in a line: what, where, and how many.

    Parameters:
        summary: what a command says that only looks; None: it is a run.
    """
    if summary:
        failed = f"failed (exit code {document['exit_code']})"
        return (failed if document["error"] else summary(document)) + _where(document)
    count, left = len(document["applied"]), len(document["pending"])
    took = duration(document["duration_ms"])
    words = {
        "applied": f"done: {many(count, 'migration')} in {took}",
        "noop": "nothing to do",
        "planned": (
            f"planned only, nothing was run: {left} to run"
            if document["command"] in {"migrate", "rollback", "plan"}
            else "nothing was written; to do it: the same command with --yes"
        ),
        "incomplete": f"incomplete: {count} done, {left} left; run again to go on",
        "failed": f"failed (exit code {document['exit_code']}): {count} done before, {left} not",
    }
    return f"{words[document['outcome']]}{_where(document)}; run {document['run_id']}"


def _where(document: Document) -> str:
    target = document["target"]
    if not target:
        return ""
    name = target.get("dbname", "a database that was not reached")
    return f"; {name} on {target.get('host', 'the local socket')}"


def standings(document: Document) -> str:
    """Say how many migrations are in which state."""
    states = [entry["state"] for entry in cast(list[Standing], document["data"])]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "empty"


def entries(document: Document) -> str:
    """Say how many entries were listed."""
    return many(len(cast(list[object], document["data"])), "entry", "entries")


def proofs(document: Document) -> str:
    """Say how many migrations are proved."""
    found = cast(Proofs, document["data"])["migrations"]
    count = sum(entry["proved"] for entry in found)
    text = f"{count} of {len(found)} proved"
    return text if count == len(found) else f"{text}, the others are irreversible"


def fine(_: Document) -> str:
    """Say that nothing was found."""
    return "every file is fine"


def strings(document: Document) -> list[str]:
    """Return data that is lines already."""
    return cast(list[str], document["data"]) or []


def findings(document: Document) -> list[str]:
    """Return the linter's findings as editors and terminals read them, fixes below them."""
    lines = []
    for found in cast(list[Finding], document["data"]) or []:
        place = f"{found['file']}:{found['line']}:{found['column']}"
        lines.append(f"{place}: {found['rule']}: {found['message']}")
        lines += [f"  {found['fix']}"] if found["fix"] else []
    return lines


def table_of(document: Document, columns: Sequence[str]) -> list[str]:
    """Return the data's entries as a table of some of their fields, nothing without data."""
    data: Any = document["data"]
    if not data:
        return []
    rows = data["migrations"] if isinstance(data, Mapping) else data
    return table(columns, [_cells(entry, columns) for entry in rows])


def _cells(entry: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    words = {None: "", True: "yes", False: "no"}
    return [
        words[value] if value is None or isinstance(value, bool) else str(value)
        for value in (entry[column] for column in columns)
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table's lines, each column as wide as its widest cell."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _pending(document: Document) -> list[str]:
    if not document["pending"]:
        return []
    if document["outcome"] != "planned":
        names = ", ".join(entry["file"] for entry in document["pending"])
        return [f"not run: {names}"]
    data = document["data"]
    if isinstance(data, dict) and "digest" in data:
        plan = cast(Plan, data)
        return [*_planned(document["pending"], plan["files"]), *_of_plan(plan)]
    return _planned(document["pending"], cast(list[Preview], data or []))


def _planned(pending: Sequence[Task], files: Iterable[Planned | Preview]) -> list[str]:
    """Return the files of a plan with their SQL and, where it was looked for, their risk."""
    shown = {entry["file"]: cast(Mapping[str, Any], entry) for entry in files}
    lines = []
    for entry in pending:
        more = shown.get(entry["file"], {})
        how = "in a transaction" if entry["transactional"] else "statement by statement"
        lines.append(f"-- {entry['action']} {entry['file']} ({entry['why']}), {how}")
        lines += [f"--   {risk}" for risk in more.get("risks", ())]
        if more.get("irreversible"):
            lines.append(f"--   irreversible: {more['irreversible']}")
        lines += [*preview(more.get("sql", "")), ""]
    return lines


def _of_plan(plan: Plan) -> list[str]:
    lines = []
    if longest := plan["longest_transaction"]:
        lines.append(
            f"longest open transaction: {duration(longest['seconds'] * 1000)}, pid"
            f" {longest['pid']}, user {longest['user']}:"
            f" {' '.join((longest['query'] or '').split())}"
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
