"""What the linter found as SARIF, which reviews of code show beside the line.

The format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runner.errors import ConfigurationError
from runner.report.wording import clean, findings
from runner.result import Document, Finding

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(document: Document) -> str:
    """Return what a run of the linter found, as a log of one run; nothing found is a log as well.

    Raises:
        ConfigurationError: the document is of another command, or the linter could not look.
    """
    if document["command"] != "lint" or document["data"] is None:
        raise ConfigurationError("this result has no findings", fix="give that of runner lint")
    found = findings(document)
    rules = [{"id": rule} for rule in sorted({one["rule"] for one in found})]
    driver = {"name": "runner lint", "rules": rules}
    run = {"tool": {"driver": driver}, "results": [_result(one) for one in found]}
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2) + "\n"


def _result(found: Finding) -> dict[str, Any]:
    said = clean(f"{found['message']}: {found['fix']}" if found["fix"] else found["message"])
    region = {"startLine": found["line"], "startColumn": found["column"]}
    place = {"artifactLocation": {"uri": _uri(found["file"])}, "region": region}
    return {
        "ruleId": found["rule"],
        "level": "error",
        "message": {"text": said},
        "locations": [{"physicalLocation": place}],
    }


def _uri(file: str) -> str:
    """Return a path as a URI, relative to the folder of the repository as the path is."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
