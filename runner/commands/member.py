"""What is told of one target of a fleet, by a worker of this machine and by the Lambda alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from runner.commands.command import Context, Options
from runner.commands.status import PENDING, status
from runner.commands.table import migrated, policy
from runner.engine.migrate import look
from runner.engine.run import Files, Run
from runner.errors import Error
from runner.files.folder import canonical, parse_version, read_folder
from runner.fleet.targets import Item
from runner.fleet.work import Answer, one_line, shortened, state_of
from runner.report.wording import bounded
from runner.result import VERSION, Carried, Document, Line, Result, Standing

_DIFFERS = "applied, file "  # as the state of a migration begins that does not fit its file

# Of a line that a state machine carries: 256 KiB of an answer, of an error 32,768 characters.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
_FILES, _TEXTS, _LONGEST = 500, 5, 400


def line(context: Context, command: str, options: Options, item: Item) -> tuple[Document, Line]:
    """Do a command in a target of a fleet; return its result, and what is told of it in a line.

    Parameters:
        command: "migrate", "plan" or "status".
        options: that command's.
    """
    folder = read_folder(context.sql_dir)
    run = context.database(None)._replace(files=Files(folder, {}))
    result, answer = done(run, command, options, item)
    document = result.document()
    return document, _line(document, answer, folder.digest())


def done(run: Run, command: str, options: Options, item: Item) -> tuple[Result, Answer]:
    """Do a command in a target of a fleet; return its result, and what it says of the target.

    Parameters: as of `line`.
    """
    if command == "status":
        result = status(run, check_only=False, with_drift=options.get("drift", False))
        return result, _stands(item, result)
    if command == "plan":
        result, digest = look(run, policy(options))
        return result, answered(item, result)._replace(digest=digest)
    result = migrated(run, options)
    return result, answered(item, result)


def _line(document: Document, answer: Answer, files: str) -> Line:
    error = answer.error
    line: Line = {
        "result_version": VERSION,
        "command": document["command"],
        "run_id": document["run_id"],
        "outcome": document["outcome"],
        "files": files,
        "digest": answer.digest,
        "member": answer.member,
        "tasks": [] if error else list(answer.files[:_FILES]),
        "warnings": [bounded(said, _LONGEST) for said in answer.warnings[:_TEXTS]],
        "error": cast(Error, _short(error)) if error else None,
    }
    if answer.carried:
        line["carried"] = answer.carried
    if answer.held:
        line["held"] = answer.held
    return line


def _short(value: object) -> object:
    """Return a document with the beginnings of its texts and lists."""
    if isinstance(value, str):
        return bounded(value, _LONGEST)
    if isinstance(value, list):
        return [_short(entry) for entry in value[:_TEXTS]]
    if isinstance(value, dict):
        return {name: _short(entry) for name, entry in value.items()}
    return value


def answered(item: Item, result: Result) -> Answer:
    """Return the answer that a run's result is."""
    document = result.document()
    error, applied = document["error"], document["applied"]
    files = tuple(task["file"] for task in document["pending"])
    held, data = len(document.get("held", [])), document["data"]
    left = len(files) + held  # what waits for the new code as well
    versions = [entry["version"] for entry in applied if entry["action"] == "apply"]
    return Answer(
        {
            "name": item.name,
            "target": document["target"],
            "state": state_of(error) if error else "behind" if left else "current",
            "exit_code": document["exit_code"],
            "version": _newest([*versions, *filter(None, [result.version])]),
            "applied": len(applied),
            "pending": left,
            "duration_ms": document["duration_ms"],
            "error": one_line(error) if error else None,
        },
        files=files,
        error=error,
        warnings=tuple(document["warnings"]),
        carried=cast(Carried, data)["files"] if result.command == "migrate" and data else None,
        held=held,
    )


def _stands(item: Item, result: Result) -> Answer:
    """Return the answer that the result of status is."""
    answer, found = answered(item, result), cast(list[Standing] | None, result.data)
    if found is None:
        return answer
    files = tuple(entry["file"] or "" for entry in found if entry["state"] in PENDING)
    strange = [entry for entry in found if entry["state"].startswith(_DIFFERS)]
    member = answer.member
    member["pending"] = len(files)
    member["version"] = _newest(
        entry["version"]
        for entry in found
        if not entry["version"].startswith("R__")
        and entry["state"].startswith(("applied", "baseline"))
    )
    if result.error:
        member |= {"state": "drifted", "error": shortened(" ".join(result.error.details[1:]))}
    elif strange:
        said = ", ".join(f"{entry['version']} is {entry['state']}" for entry in strange)
        member |= {"state": "differs", "error": shortened(said)}
    elif files:
        member["state"] = "behind"
    return answer._replace(files=files)


def _newest(versions: Iterable[str]) -> str | None:
    found = [parse_version(version) for version in versions]
    return canonical(max(found)) if found else None
