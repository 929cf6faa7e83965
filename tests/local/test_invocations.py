"""Emulated functions fail in Lambda's words, and have its limits."""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.aws import trusting
from tests.local.known import until_known

ACCOUNT = "555566668888"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/failing"
TRUST = trusting("lambda.amazonaws.com")
Answer = tuple[str | None, Any]


@pytest.fixture
def function(stack: Stack) -> Iterator[Callable[..., Any]]:
    """Give a function that makes one of a handler's body, and calls it with an event."""
    iam, client = stack.client("iam", ACCOUNT), stack.client("lambda", ACCOUNT)
    iam.create_role(RoleName="failing", AssumeRolePolicyDocument=json.dumps(TRUST))

    def called(body: str, event: Any = None) -> Answer:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("package/__init__.py", "")
            file.writestr("package/failing.py", f"def handle(event, context):\n    {body}\n")
        until_known(
            client.create_function,
            FunctionName="failing",
            Runtime="python3.11",
            Handler="package.failing.handle",
            Role=ROLE,
            Timeout=1,
            Code={"ZipFile": buffer.getvalue()},
        )
        client.get_waiter("function_active_v2").wait(FunctionName="failing")
        answer = client.invoke(FunctionName="failing", Payload=json.dumps(event).encode())
        return answer.get("FunctionError"), json.loads(answer["Payload"].read())

    yield called
    client.delete_function(FunctionName="failing")
    iam.delete_role(RoleName="failing")


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("raise KeyError('x')", "KeyError", "'x'"),
        ("import json; json.loads('{')", "JSONDecodeError", "Expecting property name .*"),
        ("import time; time.sleep(30)", "Sandbox.Timedout", ".*Error: Task timed out after 1.00.*"),
        ("import os; os.kill(os.getpid(), 9)", "Runtime.ExitError", ".*error: signal: killed"),
        (
            "return 1\nimport psycopg3",
            "Runtime.ImportModuleError",
            "Unable to import module 'package.failing': No module named 'psycopg3'",
        ),
        (
            "return 'x' * (6 * 1024 * 1024 + 100)",
            "Function.ResponseSizeTooLarge",
            r"Response payload size exceeded maximum allowed payload size \(6291556 bytes\)\.",
        ),
    ],
    ids=["raised", "of a package", "timeout", "killed", "import", "answer too large"],
)
def test_failure_has_the_type_and_text_of_lambda(
    function: Callable[..., Answer], body: str, kind: str, text: str
) -> None:
    failed, said = function(body)
    assert (failed, said["errorType"]) == ("Unhandled", kind)
    assert re.fullmatch(text, said["errorMessage"])


def test_event_over_the_limit_is_refused(function: Callable[..., Answer]) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="smaller than 6291456 bytes"):
        function("return len(event)", "x" * (6 * 1024 * 1024))
