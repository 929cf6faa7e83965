"""`runner report`: a result document becomes a page, a comment, or both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from runner.errors import ConfigurationError, extra
from runner.report.border import refused
from runner.report.markdown import markdown
from runner.report.variables import variables
from runner.result import VERSION, Document, Result


def report(
    source: str,
    run_id: str,
    output: Path | None,
    comment: Path | None,
    told: Path | None = None,
) -> Result:
    """Write what is asked for; the result's data is the paths.

    Parameters:
        source: the path of a result document as --json prints it; "-" is stdin.
        output: where the HTML page goes; where nothing is asked for, it goes beside the result.
        comment: where the Markdown goes.
        told: where the variables go that later steps of a pipeline are told.

    Raises:
        ConfigurationError: nothing says where to write, the source is no result of this version,
            something cannot be read or written, the page needs Jinja2, or the result tells later
            steps nothing.

    """
    output = output if output or comment or told else _beside(source)
    document = _read(source)
    result = Result("report", run_id)
    written = []
    for path, write in ((output, _page), (comment, _comment), (told, _variables)):
        if path:
            _write(path, write()(document))
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


def _page() -> Callable[[Document], str]:
    with extra("report", what="a page"):
        from runner.report.page import page  # noqa: PLC0415 - an extra, for the page alone
    return page


def _comment() -> Callable[[Document], str]:
    return markdown


def _variables() -> Callable[[Document], str]:
    return variables


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
