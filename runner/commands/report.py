"""`runner report`: a result document becomes a page, a comment, or what other programs read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import cast

from runner.commands.rehearsed import rehearsed
from runner.errors import ConfigurationError, extra
from runner.files.code import code_digest
from runner.report.border import refused
from runner.report.markdown import markdown
from runner.report.sarif import sarif
from runner.report.variables import variables
from runner.report.wording import plans
from runner.result import VERSION, Document, Result


def report(
    source: str,
    run_id: str,
    *,
    output: Path | None = None,
    comment: Path | None = None,
    told: Path | None = None,
    scan: Path | None = None,
    source_code: Path | None = None,
    rehearsal: str | None = None,
) -> Result:
    """Write what is asked for; the result's data is the paths.

    Parameters:
        source: the path of a result document as --json prints it; "-" is stdin.
        output: where the HTML page goes; where nothing is asked for, it goes beside the result.
        comment: where the Markdown goes.
        told: where the variables go that later steps of a pipeline are told.
        scan: where the findings of lint go as SARIF.
        source_code: the project that is to be deployed; where its runner is another one than made
            the plan, that is told too.
        rehearsal: the path of the result of a rehearsal, whose times a plan then has.

    Raises:
        ConfigurationError: nothing says where to write, the source is no result of this version,
            something cannot be read or written, the page needs Jinja2, or the result tells later
            steps nothing or has no findings.

    """
    output = output if output or comment or told or scan else _beside(source)
    document = _read(source)
    if rehearsal:
        rehearsed(document, _read(rehearsal))
    result = Result("report", run_id)
    written = []
    ways = (
        (output, _page),
        (comment, markdown),
        (told, lambda found: variables(found, _changes(found, source_code))),
        (scan, sarif),
    )
    for path, write in ways:
        if path:
            _write(path, write(document))
            written.append(str(path))
    result.data = written
    return result


def _beside(source: str) -> Path:
    path = Path(source)
    page = path.with_suffix(".html") if path.name else path
    if source == "-" or page == path:
        raise ConfigurationError(
            "report does not know what to write", fix="add -o report.html, --markdown report.md"
        )
    return page


def _page(document: Document) -> str:
    with extra("report", what="a page"):
        from runner.report.page import page  # noqa: PLC0415 - an extra, for the page alone
    return page(document)


def _changes(document: Document, source_code: Path | None) -> list[str]:
    """Return what of the runner changes with a deployment of a project."""
    runners = {each["runner"] for each in plans(document)} - {None}
    if not runners or source_code is None:
        return []
    changes = {code_digest(source_code / "runner")} != runners
    return ["the runner itself changes"] if changes else []


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def _read(source: str) -> Document:
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        document = json.loads(raw)
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{source} is no JSON: {error}", fix="runner --json migrate > result.json"
        ) from error
    if problem := refused(document):
        raise ConfigurationError(
            f"{source} is no result of version {VERSION}: {problem}",
            fix="make it with this runner: runner --json migrate > result.json",
        )
    return cast(Document, document)
