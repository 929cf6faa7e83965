"""The result for people and for machines: a table, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_RED, _GREEN, _PLAIN = "\033[31m", "\033[32m", "\033[0m"
_VERBS = {"apply": "applied", "repeat": "applied", "undo": "undone"}


def as_json(document: Mapping[str, Any]) -> str:
    """Return the document as one JSON text."""
    return json.dumps(document, indent=2, default=str, ensure_ascii=False)


def as_text(document: Mapping[str, Any], *, colour: bool = False) -> str:
    """Return the document as a person reads it: what was done, what is left, what went wrong."""
    text = "\n".join(_lines(document))
    text = UNPRINTABLE.sub("�", text)
    if not colour:
        return text
    paint = _RED if document["error"] else _GREEN
    before, _, last = text.rpartition("\n")
    return f"{before}\n{paint}{last}{_PLAIN}" if before else f"{paint}{last}{_PLAIN}"


def _lines(document: Mapping[str, Any]) -> list[str]:
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
    lines += error_lines(document["error"])
    return [*lines, summary(document)]


def summary(document: Mapping[str, Any]) -> str:
    """Return the last line: the outcome, where, and how many."""
    if document["command"] in _READERS:
        if document["error"]:
            return f"failed (exit code {document['exit_code']}){_where(document)}"
        return _READERS[document["command"]](document) + _where(document)
    count, left = len(document["applied"]), len(document["pending"])
    took = duration(document["duration_ms"])
    words = {
        "applied": f"done: {count} migration{'s' * (count != 1)} in {took}",
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


def _where(document: Mapping[str, Any]) -> str:
    target = document["target"]
    return f"; {target['dbname']} on {target.get('host', 'the local socket')}" if target else ""


def _standing(document: Mapping[str, Any]) -> str:
    states = [entry["state"] for entry in document["data"]]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "empty"


def _proved(entries: Sequence[Mapping[str, Any]]) -> str:
    count = sum(entry["proved"] for entry in entries)
    text = f"{count} of {len(entries)} proved"
    return text if count == len(entries) else f"{text}, the others are irreversible"


# What a command that only looks says at the end.
_READERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "status": _standing,
    "history": lambda document: f"{len(document['data'])} entries",
    "verify": lambda document: _proved(document["data"]["migrations"]),
    "new": lambda _: "write the SQL of both, then migrate",
    "validate": lambda _: "every file is fine",
    "lint": lambda _: "every file is fine",
    "report": lambda _: "written",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table's lines, each column as wide as its widest cell."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def duration(milliseconds: float | None) -> str:
    """Return a duration in the unit that reads best."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:  # noqa: PLR2004
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {seconds % 60:.0f} s"  # noqa: PLR2004


def _pending(document: Mapping[str, Any]) -> list[str]:
    if not document["pending"]:
        return []
    if document["outcome"] != "planned":
        names = ", ".join(entry["file"] for entry in document["pending"])
        return [f"not run: {names}"]
    return _planned(document["pending"], document["data"] or [])


def _planned(
    pending: Sequence[Mapping[str, Any]], data: Mapping[str, Any] | Sequence[Any]
) -> list[str]:
    """Return the files of a plan with their SQL and, where it was looked for, their risk."""
    from runner.report.preview import preview  # noqa: PLC0415 - sqlparse takes its time to import

    whole: Mapping[str, Any] = data if isinstance(data, Mapping) else {"files": data}
    shown = {entry["file"]: entry for entry in whole["files"]}
    lines = []
    for entry in pending:
        more = shown.get(entry["file"], {})
        how = "in a transaction" if entry["transactional"] else "statement by statement"
        lines.append(f"-- {entry['action']} {entry['file']} ({entry['why']}), {how}")
        lines += [f"--   {risk}" for risk in more.get("risks", ())]
        if more.get("irreversible"):
            lines.append(f"--   irreversible: {more['irreversible']}")
        lines += [*preview(more.get("sql", "")), ""]
    longest = whole.get("longest_transaction")
    if longest:
        lines.append(
            f"longest open transaction: {duration(longest['seconds'] * 1000)}, pid"
            f" {longest['pid']}, user {longest['user']}: {' '.join(longest['query'].split())}"
        )
    return [*lines, f"digest: {whole['digest']}"] if "digest" in whole else lines


def error_lines(error: Mapping[str, Any] | None) -> list[str]:
    """Return an error as a person reads it: where, what, why, what to do."""
    if not error:
        return []
    place = ":".join(str(error[key]) for key in ("file", "line", "column") if error.get(key))
    state = f" (SQLSTATE {error['sqlstate']})" if error.get("sqlstate") else ""
    lines = [
        f"{place}: {error['message']}{state}" if place else f"error: {error['message']}{state}"
    ]
    if error.get("excerpt"):
        lines.append(error["excerpt"])
    lines += [f"{key}: {error[key]}" for key in ("detail", "hint", "context") if error.get(key)]
    lines += [f"  {detail}" for detail in error["details"]]
    if error["fix"]:
        lines.append(f"what to do: {error['fix']}")
    return lines
