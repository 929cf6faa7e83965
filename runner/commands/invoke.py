"""Call the runner's Lambda and believe nothing but proof: what the pipeline runs.

Green needs all of it: no FunctionError, a result document of the version we know, of our command
and our run id, whose outcome, exit code, error and pending files agree. Whatever else comes back
is a failure with its reason.
"""

from __future__ import annotations

import json
import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from runner import bucket, codebuild
from runner.aws import calling, failures, hindrance, went_out
from runner.commands.clones import cloned, rehearsed
from runner.commands.table import COMMANDS
from runner.deadline import backoff
from runner.errors import CODES, ConfigurationError, Interrupted, NotThere, Unproved, Unreachable
from runner.files.folder import Folder, read_folder
from runner.files.packing import packed
from runner.report import wording
from runner.result import SUCCESS, VERSION, Document
from runner.shape import misfit

# Bytes of files. An event has 6 MB, and base64 makes a third more of them; others go by S3.
_IN_EVENT = 4_000_000

# Seconds. A Lambda runs 900 at most; boto3's own limits (60, and four more attempts) would
# start a long migration again while it runs.
_READ_TIMEOUT = 910
# A gateway or load balancer on the way forgets a connection that is idle for 350 s; with keepalive
# on, the kernel would send its first sign of life after two hours.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 30, "TCP_KEEPCNT": 5}  # Linux's names
_READY_WAIT = 300
_READY_PAUSES = (1.0, 15.0)  # first and longest

# Errors before our code has begun, which pass by themselves: a function that was idle for two
# weeks is woken, a new one becomes active, a throttled call may come again.
_NOT_READY = {
    "ResourceNotReadyException",
    "ENINotReadyException",
    "ResourceConflictException",
    "TooManyRequestsException",
    "EC2ThrottledException",
    "CodeArtifactUserPendingException",
}
# Said of a function and of an alias alike; who may not call it is told that, whether or not it is.
_NOT_THERE = "ResourceNotFoundException"

_NOT_CALLED, _INVOKE = "Lambda cannot be called", "lambda:InvokeFunction"


def invoke(
    function: str,
    *,
    run_id: str,
    command: str,
    options: Mapping[str, Any],
    progress: Callable[[str], None],
    files: Path | None = None,
    schema: str | None = None,
    follow: str | None = None,
) -> Document:
    """Run a command in the Lambda, again while it says that it is incomplete.

    Where the function has a build run it, that is followed to its end.

    Parameters:
        function: name or ARN, with the alias that stands for the caller's right.
        files: a folder whose files the function shall plan with, in place of its own.
        schema: one of its database that the function serves.
        follow: the ARN of a build that an earlier call has started: it is waited for first.

    Returns:
        The result document; its `exit_code` is 0 only where success is proved.

    Raises:
        NotThere: there is no function of this name and alias.
        Unproved, Unreachable: there is no document to believe.
        ConfigurationError: there is no region, or the function takes no files as large as these.
    """
    client = _client(function)
    event: dict[str, Any] = {"command": command, "run_id": run_id, "options": dict(options)}
    if schema is not None:
        event["schema"] = schema
    if files is not None:
        event["files"] = _sent(client, function, packed(texts(read_folder(files))))
    if command != "rehearse":
        return _ended(client, function, event, progress, follow)
    with cloned(rehearsed(function, _variables(client, function)), progress) as copy:
        return _ended(client, function, {**event, "copy": copy._asdict()}, progress)


def _ended(
    client: Any,
    function: str,
    event: Mapping[str, Any],
    progress: Callable[[str], None],
    follow: str | None = None,
) -> Document:
    """Call the function until it has come to an end, or comes no further."""
    # Of a rehearsal the log stays where it is: what a server says of the data is in it.
    tail = "None" if event["command"] == "rehearse" else "Tail"
    done, build = (0, 0), follow
    while True:
        if build is None:
            answer = _call(client, function, json.dumps(event).encode(), progress, tail)
            document, build = _told(answer, function, event)
        if build is not None:
            document = _followed(build, function, event, progress)
            build = None
        # Whatever calls it took: a result lists all that was done under its run id.
        before, done = done, _progress(document)
        if document["outcome"] != "incomplete" or done <= before:
            return document
        progress(f"the deadline came with {len(document['pending'])} left: going on")


def _told(
    answer: dict[str, Any], function: str, event: Mapping[str, Any]
) -> tuple[Document, str | None]:
    """Return the document of an answer, or the build that was started in its place."""
    payload: bytes = answer["Payload"].read()
    told = None if "FunctionError" in answer else _document(payload, failed=False)
    build = told.get("build") if isinstance(told, dict) and len(told) == 1 else None
    if event["command"] == "migrate" and codebuild.is_build(build):
        return cast(Document, {}), build
    return believe(answer | {"Payload": BytesIO(payload)}, function=function, event=event), None


def _followed(
    build: str, function: str, event: Mapping[str, Any], progress: Callable[[str], None]
) -> Document:
    """Return the result of a build, which is held against all that an answer is held against."""
    progress(f"it runs as {build}")
    again = f"runner invoke --function {function} --run-id {event['run_id']} --follow {build}"
    try:
        ended = codebuild.follow(build, lambda line: progress(wording.clean(line)))
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; the run goes on without this call", fix=f"follow it on: {again} migrate"
        ) from None
    except Unreachable as error:
        raise Unproved(
            error.message, fix=f"the run goes on; follow it on: {again} migrate"
        ) from error
    problem = f"the build ended as {ended.status} and left no result"
    if ended.result is not None:
        document = _document(ended.result, failed=False)
        failed = None if ended.status == "SUCCEEDED" else ended.status
        if not (found := _problem(document, failed, event)):
            return cast(Document, document)
        problem = found
    raise Unproved(f"{function}: {problem}", fix=f"its log: {ended.log}")


def _progress(document: Document) -> tuple[int, int]:
    """Return how much a run has done, in files and in rows of the backfill that is under way."""
    rows = sum(task["backfill"]["rows"] for task in document["pending"] if "backfill" in task)
    return len(document["applied"]), rows


def texts(folder: Folder) -> dict[str, str]:
    """Return the texts of a folder's migrations by their names."""
    files = (*folder.versioned, *folder.undo.values(), *folder.repeatable)
    return {migration.name: migration.text() for migration in files}


def _sent(client: Any, function: str, data: bytes) -> str | dict[str, str]:
    """Return what an event says of the files: themselves, or where the function finds them."""
    if len(data) <= _IN_EVENT:
        return b64encode(data).decode()
    if not (to := _variables(client, function).get("FILES_BUCKET")):
        raise ConfigurationError(
            f"the files are {len(data) / 1e6:.1f} MB even when compressed, and {function} takes"
            f" {_IN_EVENT / 1e6:.0f}: it has no FILES_BUCKET",
            fix="deploy it with one (runner_files_bucket), or load such data in several steps",
        )
    return {"sha256": bucket.put(to, data, region=client.meta.region_name)}


def _variables(client: Any, function: str) -> dict[str, str]:
    """Return what a function is told: from where it takes files, for what it rehearses."""
    from botocore.exceptions import ClientError  # noqa: PLC0415

    may = "lambda:GetFunctionConfiguration"
    with calling(f"{function} cannot be looked at", may=may):
        try:
            settings = client.get_function_configuration(FunctionName=function)
        except ClientError as error:
            raise _refused(error, function, may) from error
    found: dict[str, str] = settings.get("Environment", {}).get("Variables", {})
    return found


def _client(function: str) -> Any:
    # An ARN says its region, and Lambda serves no other; a bare name means the environment's.
    region = function.split(":")[3] if function.startswith("arn:") else None
    with calling(_NOT_CALLED, may=_INVOKE) as boto3:
        from botocore.config import Config  # noqa: PLC0415

        settings = Config(
            connect_timeout=10,
            read_timeout=_READ_TIMEOUT,
            retries={"total_max_attempts": 1},
            tcp_keepalive=True,
        )
        client = boto3.Session().client("lambda", region_name=region, config=settings)
    # botocore has a setting for whether there is keepalive, and none for when.
    options = client._endpoint.http_session._socket_options  # noqa: SLF001
    options += [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _KEEPALIVE.items()
        if hasattr(socket, name)
    ]
    return client


def _call(
    client: Any, function: str, payload: bytes, progress: Callable[[str], None], tail: str
) -> dict[str, Any]:
    """Call the function, again while it has not begun, and return boto3's answer."""
    from botocore.exceptions import ClientError  # noqa: PLC0415

    until = time.monotonic() + _READY_WAIT
    pauses = backoff(*_READY_PAUSES)
    while True:
        try:
            answer: dict[str, Any] = client.invoke(
                FunctionName=function, LogType=tail, Payload=payload
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in _NOT_READY or time.monotonic() > until:
                raise _refused(error, function, _INVOKE) from error
            progress(f"{function} is not ready ({code}): waiting")
            time.sleep(next(pauses))
        except failures() as error:
            if not went_out(error):
                raise hindrance(error, _NOT_CALLED, may=_INVOKE) from error
            raise Unproved(
                f"no answer from {function}: {error}",
                fix="it may still run; see what it did with --command status before running it"
                f" again. {_place(function)}",
            ) from error
        else:
            return answer


def believe(answer: Mapping[str, Any], *, function: str, event: Mapping[str, Any]) -> Document:
    """Return the document of an answer, if it is one and is ours.

    Parameters:
        answer: of boto3's invoke.
        event: what was sent.

    Raises:
        Unproved: in every other case.
    """
    failed = answer.get("FunctionError")
    document = _document(answer["Payload"].read(), failed=failed is not None)
    problem = _problem(document, failed, event)
    if problem:
        tail = b64decode(answer.get("LogResult", "")).decode("utf-8", "replace").strip()
        raise Unproved(
            f"{function}: {problem}",
            details=tuple(tail.splitlines()[-20:]),
            fix=_place(function),
        )
    return cast(Document, document)


def _document(payload: bytes, *, failed: bool) -> object:
    """Return the JSON of an answer; that of a failed function is the text of what it raised."""
    try:
        document = json.loads(payload)
        return json.loads(document["errorMessage"]) if failed else document
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _problem(document: object, failed: object, event: Mapping[str, Any]) -> str | None:
    """Return why an answer proves nothing, None where it is a result to go by."""
    if not isinstance(document, dict) or "result_version" not in document:
        return f"failed outside the runner ({failed})" if failed else "the answer is no result"
    if type(version := document["result_version"]) is not int or version != VERSION:
        return f"the result has version {version!r}, not {VERSION}"
    if wrong := misfit(document, Document):
        return f"the answer is no result of version {VERSION}: {wrong}"
    for name in ("run_id", "command"):
        if document[name] != event[name]:
            return f"the result is of {name} {document[name]!r}, not {event[name]!r}"
    if "schema" in event and document["target"].get("schema") not in {None, event["schema"]}:
        return f"the result is of schema {document['target']['schema']!r}"
    return _contradiction(cast(Document, document), event, failed=failed is not None)


def _contradiction(document: Document, event: Mapping[str, Any], *, failed: bool) -> str | None:
    """Return what of a result does not agree with the rest of it, None where all does."""
    outcome, error = document["outcome"], document["error"]
    if error is not None:
        agreed = {"incomplete" if error["kind"] == "incomplete" else "failed"}
    else:
        agreed = {"planned"} if _only_plans(event) else set(SUCCESS)
    code = CODES[error["kind"]] if error else 0
    if outcome not in agreed or document["exit_code"] != code or failed != (error is not None):
        return (
            f"{event['command']} answered with outcome {outcome!r},"
            f" exit code {document['exit_code']}, error {error and error['kind']!r} and"
            f" {'a' if failed else 'no'} FunctionError, which do not agree"
        )
    left, done = bool(document["pending"]), bool(document["applied"])
    runs = event["command"] in {"migrate", "rollback", "backfill"}
    odd = {"applied": left or (runs and not done), "noop": left or done, "planned": done}
    if odd.get(outcome):
        return f"the outcome is {outcome!r}, and the files that were applied or left do not fit it"
    return None


def _only_plans(event: Mapping[str, Any]) -> bool:
    """Return whether a call only asks what would be done."""
    options, command = event["options"], event["command"]
    asks = COMMANDS[command].asks and not options.get("yes")
    return command in {"plan", "rehearse"} or asks or bool(options.get("dry_run"))


def _refused(error: Any, function: str, right: str) -> NotThere | Unreachable:
    """Return what it means that Lambda refused a call, and what to do about it."""
    code = error.response["Error"]["Code"]
    if code == _NOT_THERE:
        fix = "check name, alias and region, and that the environment was deployed"
        return NotThere(f"there is no {function}", fix=fix, details=(str(error),))
    denied = code in {"AccessDeniedException", "AccessDenied"}
    fix = f"let this role {right} on {function}" if denied else _place(function)
    return Unreachable(f"{function} cannot be invoked: {error}", fix=fix)


def _place(function: str) -> str:
    name = function.rsplit(":function:", maxsplit=1)[-1].split(":", maxsplit=1)[0]
    return f"its log: aws logs tail /aws/lambda/{name} --since 1h"
