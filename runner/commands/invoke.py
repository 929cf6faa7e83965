"""Call the runner's Lambda and believe nothing but proof: what the pipeline runs.

Green needs all of it: no FunctionError, a result document of the version we know, with our run
id, and an outcome that is a success. Whatever else comes back is a failure with its reason.
"""

from __future__ import annotations

import json
import socket
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

from runner.deadline import backoff
from runner.errors import Unproved, Unreachable
from runner.result import SUCCESS, VERSION, Applied, Document

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


def invoke(
    function: str,
    *,
    run_id: str,
    command: str,
    options: Mapping[str, Any],
    progress: Callable[[str], None],
) -> Document:
    """Run a command in the Lambda, again while it says that it is incomplete.

    Returns:
        The result document; its `exit_code` is 0 only where success is proved.

    Raises:
        Unproved, Unreachable: there is no document to believe.
    """
    client = _client()
    event = {"command": command, "run_id": run_id, "options": dict(options)}
    applied: list[Applied] = []
    while True:
        document = _once(client, function, event, progress)
        went_on = bool(document["applied"])
        applied += document["applied"]
        document["applied"] = applied
        if document["outcome"] != "incomplete" or not went_on:
            return document
        progress(f"the deadline came with {len(document['pending'])} left: going on")


def _client() -> Any:
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    settings = Config(
        connect_timeout=10,
        read_timeout=_READ_TIMEOUT,
        retries={"total_max_attempts": 1},
        tcp_keepalive=True,
    )
    client = boto3.client("lambda", config=settings)
    # botocore has a setting for whether there is keepalive, and none for when.
    options = client._endpoint.http_session._socket_options  # noqa: SLF001
    options += [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _KEEPALIVE.items()
        if hasattr(socket, name)
    ]
    return client


def _once(
    client: Any, function: str, event: Mapping[str, Any], progress: Callable[[str], None]
) -> Document:
    from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError  # noqa: PLC0415

    until = time.monotonic() + _READY_WAIT
    pauses = backoff(*_READY_PAUSES)
    while True:
        try:
            answer = client.invoke(
                FunctionName=function, LogType="Tail", Payload=json.dumps(event).encode()
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in _NOT_READY or time.monotonic() > until:
                raise Unreachable(
                    f"{function} cannot be invoked: {error}", fix=_place(function)
                ) from error
            progress(f"{function} is not ready ({code}): waiting")
            time.sleep(next(pauses))
        except (ReadTimeoutError, BotoCoreError) as error:
            raise Unproved(
                f"no answer from {function}: {error}",
                fix="it may still run; see what it did with --command status before running it"
                f" again. {_place(function)}",
            ) from error
        else:
            return believe(answer, function=function, run_id=event["run_id"])


def believe(answer: Mapping[str, Any], *, function: str, run_id: str) -> Document:
    """Return the document of an answer, if it is one and is ours.

    Parameters:
        answer: of boto3's invoke.

    Raises:
        Unproved: in every other case.
    """
    payload = answer["Payload"].read()
    tail = b64decode(answer.get("LogResult", "")).decode("utf-8", "replace").strip()
    failed = answer.get("FunctionError")
    try:
        document = json.loads(payload)
        if failed:
            document = json.loads(document["errorMessage"])
    except (ValueError, KeyError, TypeError):
        document = None
    problem = _problem(document, failed, run_id)
    if problem:
        raise Unproved(
            f"{function}: {problem}",
            details=tuple(tail.splitlines()[-20:]),
            fix=_place(function),
        )
    return document  # type: ignore[no-any-return]


def _problem(document: Any, failed: str | None, run_id: str) -> str | None:
    """Return why an answer proves nothing, None where it is a result to go by."""
    if not isinstance(document, dict) or "result_version" not in document:
        return f"failed outside the runner ({failed})" if failed else "the answer is no result"
    if document["result_version"] != VERSION:
        return f"the result has version {document['result_version']}, not {VERSION}"
    if document.get("run_id") != run_id:
        return f"the result is of run {document.get('run_id')}, not {run_id}"
    success = document.get("outcome") in SUCCESS and document.get("exit_code") == 0
    if failed and success:
        return f"the function failed ({failed}) though its result says {document['outcome']}"
    if not failed and not success and document.get("outcome") != "planned":
        return f"the outcome is {document.get('outcome')!r}, but the function did not fail"
    return None


def _place(function: str) -> str:
    name = function.rsplit(":function:", maxsplit=1)[-1].split(":", maxsplit=1)[0]
    return f"its log: aws logs tail /aws/lambda/{name} --since 1h"
