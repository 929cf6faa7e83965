"""Answer calls of functions as Lambda does where they fail: its limits, its texts, its types.

All of it is in the Lambda Developer Guide: "Lambda quotas" says what a synchronous call may send
and answer, "Python exceptions" what an exception of a handler looks like, "Troubleshoot
invocation issues" how a failed import, a process that ended and a timeout do.
"""

import json
import re
from typing import Any

from local.emulator.patches import module, wrap

functions = module("ministack.services.lambda_svc")
responses = module("ministack.core.responses")

_REQUEST = 6 * 1024 * 1024  # bytes
_ANSWER = _REQUEST + 100
_SUCCESS = 200
_LAST_LINE = re.compile(r"^([\w.]+)(?::|$)")

Response = tuple[int, dict[str, str], bytes]
Outcome = dict[str, Any]


def patch() -> None:
    """Replace what takes a call and what runs a function."""
    wrap(functions, "_invoke", _limited)
    wrap(functions, "_execute_function_warm", _told_as_aws_does)


def _limited(original: Any) -> Any:
    """Refuse events and answers that are too large."""

    async def invoke(name: str, event: Any, headers: dict[str, str], *rest: Any) -> Response:
        if _size(event) > _REQUEST:
            refusal: Response = responses.error_response_json(
                "RequestEntityTooLargeException",
                f"Request must be smaller than {_REQUEST} bytes for the InvokeFunction operation",
                413,
            )
            return refusal
        status, told, body = await original(name, event, headers, *rest)
        if status == _SUCCESS and len(body) > _ANSWER:
            told["X-Amz-Function-Error"] = "Unhandled"
            text = f"Response payload size exceeded maximum allowed payload size ({_ANSWER} bytes)."
            body = _json({"errorType": "Function.ResponseSizeTooLarge", "errorMessage": text})
        return status, told, body

    return invoke


def _told_as_aws_does(original: Any) -> Any:
    """Give failures the types and texts of Lambda's Python runtime."""

    def execute(function: Outcome, event: Any, request_id: str) -> Outcome:
        result: Outcome = original(function, event, request_id)
        if result.get("error") and isinstance(result["body"], dict):
            handler = (function.get("config") or function).get("Handler", "")
            said = str(result["body"].get("errorMessage"))
            result["body"] = _failure(said, result.get("log", ""), handler, request_id)
        return result

    return execute


def _failure(said: str, log: str, handler: str, request_id: str) -> Outcome:
    kind, text = "Runtime.ExitError", f"RequestId: {request_id} Error: {said}"
    if said.startswith("Task timed out"):
        kind = "Sandbox.Timedout"
    elif said == "Worker process died":
        text = f"RequestId: {request_id} Error: Runtime exited with error: signal: killed"
    elif found := re.search(r"No module named '\S+'", said):
        kind = "Runtime.ImportModuleError"
        text = f"Unable to import module '{handler.rpartition('.')[0]}': {found[0]}"
    elif "Traceback (most recent call last)" in log:
        return {
            "errorMessage": said,
            "errorType": _class(log),
            "requestId": request_id,
            "stackTrace": [line for line in log.splitlines() if line.startswith("  File ")],
        }
    return {"errorType": kind, "errorMessage": text}


def _class(log: str) -> str:
    """Return the name of the exception that ends a traceback."""
    _, _, frames = log.rpartition("Traceback (most recent call last)")
    for line in frames.splitlines():
        if found := _LAST_LINE.match(line):
            return found[1].rpartition(".")[2]
    return "Exception"


def _size(event: Any) -> int:
    return len(_json(event)) if event is not None else 0


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
