"""What a state machine wrote of a target is success only where it proves it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from runner.fleet.lines import read
from runner.fleet.targets import Item

ITEM = Item("T", "t_1", {})
LINE: dict[str, Any] = {
    "result_version": 1, "command": "migrate", "run_id": "r", "outcome": "applied",
    "files": "sha256:1", "digest": None, "tasks": [], "warnings": [], "error": None,
    "member": {
        "name": "T", "target": {"schema": "t_1"}, "state": "current", "exit_code": 0,
        "version": "2", "applied": 2, "pending": 0, "duration_ms": 7, "error": None,
    },
}  # fmt: skip
ERROR = {"kind": "migration", "message": "no", "fix": None, "details": []}


def changed(line: dict[str, Any], **member: Any) -> dict[str, Any]:
    return {**line, "member": {**line["member"], **member}}


def succeeded(line: object) -> dict[str, Any]:
    return {"Status": "SUCCEEDED", "Output": json.dumps(line)}


def raised(line: object) -> dict[str, Any]:
    cause = json.dumps({"errorType": "RunFailed", "errorMessage": json.dumps(line)})
    return {"Status": "FAILED", "Error": "RunFailed", "Cause": cause}


def test_line_that_agrees_with_what_was_asked_is_believed() -> None:
    answer, files = read(succeeded(LINE), ITEM, "migrate", "r")
    assert (answer.member, answer.error, files) == (LINE["member"], None, "sha256:1")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"Status": "SUCCEEDED"},
        {"Status": "SUCCEEDED", "Output": "<html>"},
        {"Status": "SUCCEEDED", "Output": "[" * 100_000},
        {"Status": "TIMED_OUT"},
        {"Status": "PENDING", "Output": json.dumps(LINE)},
        {"Status": "FAILED", "Error": "RunFailed", "Cause": "{}"},
        {"Status": "FAILED", "Error": "RunFailed"},
        {"Status": "FAILED", "Error": "Sandbox.Timedout", "Cause": "x" * 40_000},
        succeeded(None),
        succeeded([LINE]),
        succeeded({**LINE, "result_version": 2}),
        succeeded({**LINE, "run_id": "another"}),
        succeeded({**LINE, "command": "plan", "outcome": "planned"}),
        succeeded({**LINE, "outcome": "planned"}),
        succeeded({**LINE, "outcome": "noop"}),
        succeeded({**LINE, "error": ERROR}),
        succeeded({**LINE, "more": 1}),
        succeeded({name: LINE[name] for name in LINE if name != "files"}),
        succeeded(changed(LINE, name="another")),
        succeeded(changed(LINE, target={"schema": "t_2"})),
        succeeded(changed(LINE, state="failed")),
        succeeded(changed(LINE, state="not started")),
        succeeded(changed(LINE, exit_code=3)),
        succeeded(changed(LINE, exit_code=None)),
        succeeded(changed(LINE, applied=0)),
        raised(LINE),
        raised({**LINE, "error": ERROR}),
        raised({**changed(LINE, state="failed", exit_code=0), "error": ERROR}),
    ],
)
def test_anything_else_is_a_failure_that_says_so_in_a_line(entry: dict[str, Any]) -> None:
    answer, files = read(entry, ITEM, "migrate", "r")
    assert (answer.member["state"], answer.member["exit_code"], files) == ("failed", 1, None)
    assert answer.error
    assert answer.error["kind"] == "unproved"
    assert len(json.dumps(answer)) < 4_000


@pytest.mark.parametrize(
    ("make", "kind", "state"),
    [
        (lambda: raised({**changed(LINE, state="failed", exit_code=3), "error": ERROR}),
         "migration", "failed"),
        (lambda: {"Status": "ABORTED"}, "incomplete", "incomplete"),
    ],
    ids=["of the runner", "aborted"],
)  # fmt: skip
def test_failure_that_is_known_keeps_its_kind(
    make: Callable[[], dict[str, Any]], kind: str, state: str
) -> None:
    answer, _ = read(make(), ITEM, "migrate", "r")
    assert answer.error
    assert (answer.error["kind"], answer.member["state"]) == (kind, state)
