"""The result as JUnit XML, as CodeBuild's report tab shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from runner.report.text import UNPRINTABLE, error_lines

_Case = tuple[str, float, str]  # name, milliseconds, what it holds


def write(document: Mapping[str, Any], path: Path, last_line: str) -> None:
    """Write a document of migrate, rollback or verify; folders are made.

    Parameters:
        last_line: the outcome, which is the only case where nothing ran.
    """
    cases = list(_proofs(document) if document["command"] == "verify" else _runs(document))
    if not cases or (document["error"] and not any("<failure" in body for *_, body in cases)):
        cases.append(_case_of_error(document, last_line))
    lines = [
        f'<testcase classname="migrations" name={_attribute(name)}'
        f' time="{milliseconds / 1000:.3f}">{body}</testcase>'
        for name, milliseconds, body in cases
    ]
    failures = sum("<failure" in body for *_, body in cases)
    head = f'<testsuite name="migrations" tests="{len(cases)}" failures="{failures}"'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n{head}'
        f' time="{document["duration_ms"] / 1000:.3f}">{"".join(lines)}</testsuite>\n',
        encoding="utf-8",
    )


def _runs(document: Mapping[str, Any]) -> Iterator[_Case]:
    for entry in document["applied"]:
        yield entry["file"], entry["duration_ms"], ""


def _proofs(document: Mapping[str, Any]) -> Iterator[_Case]:
    for entry in (document["data"] or {"migrations": ()})["migrations"]:
        took = sum(entry.get(name) or 0 for name in ("up_ms", "down_ms", "up_again_ms"))
        body = ""
        if entry["problems"]:
            body = _failure(entry["problems"][0], "\n".join(entry["problems"]))
        elif entry["irreversible"]:
            body = f"<skipped message={_attribute('irreversible: ' + entry['irreversible'])}/>"
        yield entry["file"], took, body


def _case_of_error(document: Mapping[str, Any], last_line: str) -> _Case:
    error = document["error"]
    if not error:
        return last_line, 0, ""
    name = Path(error.get("file") or document["command"]).name
    return name, 0, _failure(error["message"], "\n".join(error_lines(error)))


def _failure(message: str, text: str) -> str:
    return f"<failure message={_attribute(message)}>{escape(UNPRINTABLE.sub('�', text))}</failure>"


def _attribute(text: str) -> str:
    return quoteattr(UNPRINTABLE.sub("�", text))
