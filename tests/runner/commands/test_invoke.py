"""The pipeline's contract: nothing but a proof of success is success."""

import base64
import io
import json
from typing import Any

import pytest

from runner.commands.invoke import believe
from runner.errors import Unproved


def document(**changes: Any) -> dict[str, Any]:
    return {
        "result_version": 1,
        "run_id": "run-1",
        "outcome": "applied",
        "exit_code": 0,
        "applied": [],
        "pending": [],
        **changes,
    }


def answer(payload: object, *, failed: str | None = None) -> dict[str, Any]:
    """Return what boto3's invoke returns."""
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    error = {"FunctionError": failed} if failed else {}
    tail = base64.b64encode(b"START\nlast words\n").decode()
    return {"StatusCode": 200, "Payload": io.BytesIO(text), "LogResult": tail, **error}


def raised(body: object, **more: Any) -> dict[str, Any]:
    """Return the answer of a handler that raised with a document as its text."""
    failure = {"errorMessage": json.dumps(body), "errorType": "RunFailed", **more}
    return answer(failure, failed="Unhandled")


@pytest.mark.parametrize("outcome", ["applied", "noop"])
def test_success_with_proof_is_believed(outcome: str) -> None:
    body = document(outcome=outcome)
    assert believe(answer(body), function="f", run_id="run-1") == body


def test_failure_with_a_document_is_given_to_the_reader() -> None:
    body = document(outcome="failed", exit_code=3)
    assert believe(raised(body), function="f", run_id="run-1")["exit_code"] == 3


@pytest.mark.parametrize(
    "wrong",
    [
        answer(b""),
        answer(b"null"),
        answer(b"<html>"),
        answer({"statusCode": 200}),
        answer({"statusCode": 500, "body": "error"}),
        answer(document(result_version=2)),
        answer(document(run_id="another")),
        answer(document(outcome="failed", exit_code=3)),
        answer(document(outcome="failed", exit_code=0)),
        answer(document(outcome="incomplete", exit_code=8)),
        answer(document(outcome="wonderful")),
        answer(document(exit_code=1)),
        answer(document(), failed="Unhandled"),
        raised(document()),
        answer({"errorMessage": "Task timed out after 900.00 seconds"}, failed="Unhandled"),
        answer({"errorMessage": "No module named 'psycopg2'"}, failed="Unhandled"),
        answer({"errorMessage": None}, failed="Unhandled"),
        answer([], failed="Handled"),
    ],
    ids=[
        "empty",
        "null",
        "not json",
        "an api gateway answer",
        "an error in a body",
        "another version",
        "another run",
        "failed without raising",
        "failed with exit code 0",
        "incomplete without raising",
        "unknown outcome",
        "success with an exit code",
        "success and a function error",
        "success raised",
        "timed out",
        "import error",
        "no message",
        "handled",
    ],
)
def test_anything_else_is_red_and_says_where_the_log_is(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unproved) as error:
        believe(wrong, function="arn:aws:lambda:r:1:function:my-runner:live", run_id="run-1")
    assert error.value.exit_code == 1
    assert "aws logs tail /aws/lambda/my-runner" in str(error.value.fix)
    assert "last words" in error.value.details
