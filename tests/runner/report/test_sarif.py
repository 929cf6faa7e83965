"""Findings of the linter as SARIF, as reviews of code read it."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from runner.errors import ConfigurationError
from runner.report.sarif import sarif
from tests.runner.project import Project
from tests.runner.report.documents import document

# What GitHub's code scanning requires of a log: https://docs.github.com/en/code-security/
# code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
_TEXT = {"type": "string", "minLength": 1}
_LINE = {"type": "integer", "minimum": 1}


def _of(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


_REGION = _of("startLine", "startColumn", startLine=_LINE, startColumn=_LINE)
_PLACE = _of("artifactLocation", "region", artifactLocation=_of("uri", uri=_TEXT), region=_REGION)
_RESULT = _of(
    *("ruleId", "message", "locations"),
    message=_of("text", text=_TEXT),
    locations={
        "type": "array",
        "minItems": 1,
        "items": _of("physicalLocation", physicalLocation=_PLACE),
    },
)
_DRIVER = _of("name", "rules", rules={"type": "array", "items": _of("id", id=_TEXT)})
_RUN = _of(
    "tool", "results",
    tool=_of("driver", driver=_DRIVER), results={"type": "array", "items": _RESULT},
)  # fmt: skip
_LOG = _of("version", "runs", version={"const": "2.1.0"}, runs={"type": "array", "items": _RUN})


def finding(**changes: Any) -> dict[str, Any]:
    plain = {
        "file": "sql/V1__a.sql", "line": 3, "column": 7, "rule": "naming",
        "message": "a name", "fix": "another",
    }  # fmt: skip
    return {**plain, **changes}


def log(*found: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(sarif(document(command="lint", data=list(found))))
    validate(made, _LOG)
    return made


def test_findings_of_the_linter_are_a_log_that_names_rule_place_and_remedy(
    project: Project, tmp_path: Path
) -> None:
    project.file("V1__a.sql", "create table t (id int);\ncommit;\n")
    saved, made = tmp_path / "lint.json", tmp_path / "lint.sarif"
    assert project.run("lint", "--save", str(saved))["exit_code"] != 0
    assert project.run("report", str(saved), "--sarif", str(made))["data"] == [str(made)]
    found = json.loads(made.read_text())
    validate(found, _LOG)
    (run,) = found["runs"]
    rules = {result["ruleId"] for result in run["results"]}
    assert "not-runnable" in rules
    assert rules == {rule["id"] for rule in run["tool"]["driver"]["rules"]}


def test_place_is_relative_to_the_repository_as_the_folder_is() -> None:
    (result,) = log(finding(file="sql/V1__ä b.sql"))["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "sql/V1__%C3%A4%20b.sql"
    assert place["region"] == {"startLine": 3, "startColumn": 7}
    assert result["message"]["text"] == "a name: another"


def test_nothing_found_is_a_log_that_clears_what_was_found_before() -> None:
    assert log()["runs"][0]["results"] == []


@pytest.mark.parametrize(
    "other", [document(), document(command="lint")], ids=["a run", "a look that failed"]
)
def test_what_has_no_findings_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="no findings"):
        sarif(other)  # type: ignore[arg-type]
