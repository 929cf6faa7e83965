"""The published schema of the result, which every document of a test must keep."""

import json
from pathlib import Path
from typing import Any

import jsonschema

_PATH = Path(__file__).parents[2] / "docs/reference/result.schema.json"
_VALIDATOR = jsonschema.Draft202012Validator(json.loads(_PATH.read_text(encoding="utf-8")))


def conforming(document: dict[str, Any]) -> dict[str, Any]:
    """Return a result document that keeps the schema."""
    error = jsonschema.exceptions.best_match(_VALIDATOR.iter_errors(document))
    assert error is None, f"{error.json_path}: {error.message}"
    return document
