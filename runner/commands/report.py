"""`runner report`: a result document becomes a page, a comment, or both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.errors import ConfigurationError
from runner.report.markdown import markdown
from runner.report.page import page
from runner.report.wording import Document
from runner.result import VERSION, Result


def report(source: str, run_id: str, output: Path | None, comment: Path | None) -> Result:
    """Write what is asked for; the result's data is the paths.

    Parameters:
        source: the path of a result document as --json prints it; "-" is stdin.
        output: where the HTML page goes.
        comment: where the Markdown goes.

    Raises:
        ConfigurationError: nothing is asked for, or the source is no result of this version.

    """
    wanted: list[tuple[Path | None, Callable[[Document], str]]] = [
        (output, page), (comment, markdown),
    ]  # fmt: skip
    if not (output or comment):
        raise ConfigurationError(
            "report does not know what to write", fix="add -o report.html, --markdown report.md"
        )
    document = _read(source)
    result = Result("report", run_id)
    written = []
    for path, write in wanted:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(write(document), encoding="utf-8", newline="\n")
            written.append(str(path))
    result.data = written
    return result


def _read(source: str) -> dict[str, Any]:
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        document = json.loads(raw)
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(
            f"{source} is no JSON: {error}", fix="runner --json migrate > result.json"
        ) from error
    version = document.get("result_version") if isinstance(document, dict) else None
    if version != VERSION:
        raise ConfigurationError(
            f"{source} is no result of version {VERSION}",
            fix="make it with this runner: runner --json migrate > result.json",
        )
    found: dict[str, Any] = document
    return found
