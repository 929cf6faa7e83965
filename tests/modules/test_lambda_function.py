"""The module against emulated Lambda: what it keeps, and what it says when AWS gives up."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.stack import Stack
from tests.aws import trusting
from tests.modules.harness import Module, Outcome

ACCOUNT = "888800001111"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/answerer"
TRUST = trusting("lambda.amazonaws.com")
Ensure = Callable[..., Outcome]


@pytest.fixture(scope="module")
def account() -> str:
    """Give these tests an account of their own."""
    return ACCOUNT


@pytest.fixture
def api(stack: Stack) -> Any:
    """Give a client of Lambda, and a role for functions."""
    iam = stack.client("iam", ACCOUNT)
    if not iam.list_roles()["Roles"]:
        iam.create_role(RoleName="answerer", AssumeRolePolicyDocument=json.dumps(TRUST))
    return stack.client("lambda", ACCOUNT)


@pytest.fixture
def ensure(module: Module, api: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Ensure:
    """Run the module for a function named after the test."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("answerer.py", "def handle(event, context):\n    return 42\n")
    (tmp_path / "f.zip").write_bytes(buffer.getvalue())
    name = request.node.originalname

    def run(*, check: bool = False, **changed: Any) -> Outcome:
        arguments = {
            "name": name,
            "package": str(tmp_path / "f.zip"),
            "sha256": base64.b64encode(hashlib.sha256(buffer.getvalue()).digest()).decode(),
            "runtime": "python3.11",
            "architecture": "x86_64",
            "handler": "answerer.handle",
            "role": ROLE,
            **changed,
        }
        return module("lambda_function", check=check, **arguments)

    return run


def versions(api: Any, name: str) -> list[str]:
    """Return the published versions."""
    found = api.list_versions_by_function(FunctionName=name)["Versions"]
    return [v["Version"] for v in found if v["Version"] != "$LATEST"]


def happen(api: Any, name: str, **states: str) -> None:
    """Have the emulator report these states, as AWS may after weeks or troubles."""
    arn = api.get_function_configuration(FunctionName=name)["FunctionArn"]
    api.tag_resource(Resource=arn, Tags={f"local:{k}": v for k, v in states.items()})


def test_old_versions_go_but_never_one_of_an_alias(ensure: Ensure, api: Any) -> None:
    name = "test_old_versions_go_but_never_one_of_an_alias"
    assert ensure(description="1")["version"] == "1"
    api.create_alias(FunctionName=name, Name="pinned", FunctionVersion="1")
    for description in ("2", "3"):
        ensure(description=description, keep_versions=2)
    assert versions(api, name) == ["1", "2", "3"]
    check = ensure(check=True, description="4", keep_versions=2)
    assert check.difference("versions") == ([1, 2, 3], [1, 3])
    assert versions(api, name) == ["1", "2", "3"]
    ensure(description="4", keep_versions=2)
    assert versions(api, name) == ["1", "3", "4"]
    assert not ensure(description="4", keep_versions=2).changed


def test_a_function_that_failed_ends_with_awss_reason(ensure: Ensure, api: Any) -> None:
    name = "test_a_function_that_failed_ends_with_awss_reason"
    ensure()
    happen(api, name, State="Failed", StateReason="No free address.", StateReasonCode="Subnet")
    said = ensure(description="new").message
    assert f"The function {name} failed: No free address (Subnet)." in said
    assert f"aws lambda delete-function --function-name {name}" in said


def test_an_update_that_failed_is_told_and_sent_again(ensure: Ensure, api: Any) -> None:
    name = "test_an_update_that_failed_is_told_and_sent_again"
    ensure()
    happen(api, name, LastUpdateStatus="Failed", LastUpdateStatusReason="No free address.")
    said = ensure(description="new").message
    assert f"The update of the function {name} failed: No free address (no code)." in said
    assert versions(api, name) == ["1"]
    arn = api.get_function_configuration(FunctionName=name)["FunctionArn"]
    api.untag_resource(
        Resource=arn, TagKeys=["local:LastUpdateStatus", "local:LastUpdateStatusReason"]
    )
    assert ensure(description="new")["version"] == "2"


def test_an_inactive_function_is_changed_like_any_other(ensure: Ensure, api: Any) -> None:
    name = "test_an_inactive_function_is_changed_like_any_other"
    ensure()
    happen(api, name, State="Inactive")
    assert not ensure().changed
    assert ensure(description="new")["version"] == "2"


def test_tags_alone_are_no_reason_for_a_new_version(ensure: Ensure, api: Any) -> None:
    name = "test_tags_alone_are_no_reason_for_a_new_version"
    assert ensure(tags={"Owner": "us"})["version"] == "1"
    assert not ensure(tags={"Owner": "us"}).changed
    outcome = ensure(tags={"Owner": "them"})
    assert (outcome.changed, outcome["version"]) == (True, "1")
    assert versions(api, name) == ["1"]
    assert api.get_function(FunctionName=name)["Tags"] == {"Owner": "them"}


def test_hidden_tags_are_missed_and_not_written_again(
    ensure: Ensure, api: Any, stack: Stack, module: Module
) -> None:
    ensure(tags={"Owner": "us"})
    iam = stack.client("iam", ACCOUNT)
    trusted = TRUST["Statement"][0] | {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
    trust = json.dumps({**TRUST, "Statement": [trusted]})
    arn = iam.create_role(RoleName="blind", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    statement = {"Effect": "Allow", "Action": "lambda:Get*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName="blind", PolicyName="p", PolicyDocument=policy)
    keys = stack.client("sts", ACCOUNT).assume_role(RoleArn=arn, RoleSessionName="test")[
        "Credentials"
    ]
    outcome = ensure(
        tags={"Owner": "us"},
        access_key=keys["AccessKeyId"],
        secret_key=keys["SecretAccessKey"],
        session_token=keys["SessionToken"],
    )
    assert "lambda:ListTags" in outcome.message
    assert not outcome.changed
