"""What a state machine wrote of a target becomes an answer, where it proves something."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from runner.errors import CODES, Error, Incomplete, RunnerError, Unproved
from runner.fleet.pool import unanswered
from runner.fleet.targets import Item
from runner.fleet.work import Answer, one_line, state_of
from runner.result import SUCCESS, VERSION, Document, Line
from runner.shape import misfit

_SHOWN = 1_000  # characters of an error that is not ours

# The outcomes of a command that failed in nothing.
_OUTCOMES = {"migrate": SUCCESS, "plan": {"planned"}, "status": {"noop"}}
# The states that a target can be in with an error, and without one.
_BAD = {"failed", "unreachable", "incomplete", "differs", "drifted"}
_GOOD = {"current", "behind", "differs"}


def read(
    entry: Mapping[str, Any], item: Item, command: str, run_id: str
) -> tuple[Answer, str | None]:
    """Return what came of a target, and the digest of the files that its function has.

    Parameters:
        entry: of the results: a child's status, with its output, or error and cause.
        command, run_id: of what was asked.
    """
    status, error = entry.get("Status"), entry.get("Error")
    if status == "ABORTED":
        return failed(item, _aborted()), None
    if status == "SUCCEEDED":
        said = _json(entry.get("Output"))
    elif error == "RunFailed":
        cause = _json(entry.get("Cause"))
        said = _json(cause.get("errorMessage") if isinstance(cause, dict) else None)
    else:
        return failed(item, _not_ours(status, error, entry.get("Cause"))), None
    return _believed(said, item, (command, run_id), good=status == "SUCCEEDED")


def failed(item: Item, error: RunnerError) -> Answer:
    """Return what is told of a target that nothing better is known of."""
    return _of_error(item, error.document())


def _of_error(item: Item, error: Error) -> Answer:
    answer = unanswered(item, RunnerError(""), 0)
    code = CODES[error["kind"]]
    told = {"state": state_of(error), "exit_code": code, "error": one_line(error)}
    return answer._replace(member=cast(Any, {**answer.member, **told}), error=error)


def _believed(
    said: object, item: Item, asked: tuple[str, str], *, good: bool
) -> tuple[Answer, str | None]:
    if isinstance(said, dict) and "member" not in said and not good:  # refused before it began
        document, wrong = cast(Document, said), misfit(said, Document)
        error = None if wrong else document["error"]
        if error and (document["command"], document["run_id"]) == asked:
            return _of_error(item, error), None
    if problem := _problem(said, item, asked, good=good):
        return failed(item, Unproved(problem, fix="its log has what happened")), None
    line = cast(Line, said)
    answer = Answer(
        line["member"],
        line["digest"],
        tuple(line["tasks"]),
        line["error"],
        tuple(line["warnings"]),
        carried=line.get("carried"),
        held=line.get("held", 0),
    )
    return answer, line["files"]


def _problem(said: object, item: Item, asked: tuple[str, str], *, good: bool) -> str | None:
    """Return why an answer proves nothing, None where it does."""
    if wrong := misfit(said, Line):
        return f"the answer is no result: {wrong}"
    line = cast(Line, said)
    member, error = line["member"], line["error"]
    if line["result_version"] != VERSION:
        return f"the result has version {line['result_version']}, not {VERSION}"
    if ((line["command"], line["run_id"]), member["name"]) != (asked, item.name):
        return f"the result is of {line['command']}, {line['run_id']}, {member['name']}"
    if member["target"].get("schema") not in {item.schema, None}:
        return f"the result is of schema {member['target'].get('schema')}"
    agreed = good == (error is None) and member["state"] in (_BAD if error else _GOOD)
    if error is None:
        agreed = agreed and line["outcome"] in _OUTCOMES[asked[0]] and member["exit_code"] == 0
        agreed = agreed and (line["outcome"] == "applied") == (member["applied"] > 0)
    else:
        agreed = agreed and member["exit_code"] == CODES[error["kind"]]
    return None if agreed else "outcome, state and error of the result do not agree"


def _aborted() -> Incomplete:
    return Incomplete(
        "the fleet was ended while its run was under way, and that goes on until it is done",
        fix="run again: it waits for that run, and goes on",
    )


def _not_ours(status: object, error: object, cause: object) -> Unproved:
    return Unproved(
        f"{error or status}: {str(cause or '')[:_SHOWN]}".rstrip(": "),
        fix="what the run did is in the target's history; run again: what is done costs a look",
    )


def _json(text: object) -> object:
    try:
        return json.loads(str(text))
    except (ValueError, RecursionError):
        return None
