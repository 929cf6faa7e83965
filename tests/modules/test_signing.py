"""The modules that have code signed, and the function that takes no other, on emulated AWS."""

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

ACCOUNT = "888800002222"
BUCKET = "modules-code"
NAME = "shop-signed"
Ensure = Callable[..., Outcome]


@pytest.fixture(scope="module")
def account() -> str:
    """Give these tests an account of their own."""
    return ACCOUNT


@pytest.fixture(scope="module")
def made(stack: Stack, module: Module) -> Outcome:
    """Make a role, a bucket that keeps versions, and a profile with its configuration."""
    trust = json.dumps(trusting("lambda.amazonaws.com"))
    stack.client("iam", ACCOUNT).create_role(RoleName="signee", AssumeRolePolicyDocument=trust)
    s3 = stack.client("s3", ACCOUNT)
    location = {"LocationConstraint": "eu-central-1"}
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return module("code_signing", name=NAME)


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Write a package; return what modules are told of it."""

    def write(answer: str) -> dict[str, str]:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            text = f"def handle(event, context):\n    return {answer!r}\n"
            file.writestr(zipfile.ZipInfo("signee.py"), text)
        path = tmp_path / "f.zip"
        path.write_bytes(buffer.getvalue())
        digest = hashlib.sha256(buffer.getvalue()).digest()
        return {"package": str(path), "sha256": base64.b64encode(digest).decode()}

    return write


@pytest.fixture
def ensure(module: Module, made: Outcome, request: pytest.FixtureRequest) -> Ensure:
    """Run the module for a function named after the test, with signed code."""
    name = request.node.originalname

    def run(*, check: bool = False, **changed: Any) -> Outcome:
        arguments = {
            "name": name,
            "code_signing": NAME,
            "code_bucket": BUCKET,
            "runtime": "python3.11",
            "architecture": "x86_64",
            "handler": "signee.handle",
            "role": f"arn:aws:iam::{ACCOUNT}:role/signee",
            **changed,
        }
        return module("lambda_function", check=check, **arguments)

    return run


def test_signed_code_is_deployed_once(
    stack: Stack, module: Module, ensure: Ensure, package: Callable[[str], dict[str, str]]
) -> None:
    first = package("first")
    assert "Nobody has signed" in ensure(**first).message
    assert module("signed_package", **first, bucket=BUCKET, name=NAME).changed
    assert not module("signed_package", **first, bucket=BUCKET, name=NAME).changed
    assert ensure(**first)["version"] == "1"
    assert not ensure(**first).changed
    second = package("second")
    assert ensure(check=True, **second).difference("CodeSha256")[1] == second["sha256"]
    module("signed_package", **second, bucket=BUCKET, name=NAME)
    assert ensure(**second)["version"] == "2"
    assert not ensure(**second).changed
    answer = stack.client("lambda", ACCOUNT).invoke(
        FunctionName="test_signed_code_is_deployed_once", Qualifier="live"
    )
    assert json.loads(answer["Payload"].read()) == "second"


def test_a_swapped_object_is_refused(
    stack: Stack, module: Module, ensure: Ensure, package: Callable[[str], dict[str, str]]
) -> None:
    given = package("good")
    key = module("signed_package", **given, bucket=BUCKET, name=NAME)["key"]
    s3 = stack.client("s3", ACCOUNT)
    swapped = io.BytesIO(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    with zipfile.ZipFile(swapped, "a") as file:
        file.writestr("evil.py", "")
    s3.put_object(Bucket=BUCKET, Key=key, Body=swapped.getvalue())
    assert "InvalidCodeSignatureException" in ensure(**given).message
    s3.put_object(Bucket=BUCKET, Key=key, Body=Path(given["package"]).read_bytes())
    assert "CodeVerificationFailedException" in ensure(**given).message


def test_code_that_was_changed_by_hand_is_put_right(
    stack: Stack, module: Module, ensure: Ensure, package: Callable[[str], dict[str, str]]
) -> None:
    other = module("signed_package", **package("other"), bucket=BUCKET, name=NAME)["key"]
    given = package("ours")
    module("signed_package", **given, bucket=BUCKET, name=NAME)
    ensure(**given)
    name, api = "test_code_that_was_changed_by_hand_is_put_right", stack.client("lambda", ACCOUNT)
    api.update_function_code(FunctionName=name, S3Bucket=BUCKET, S3Key=other)
    api.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert ensure(**given).changed
    assert json.loads(api.invoke(FunctionName=name)["Payload"].read()) == "ours"


def test_a_function_that_takes_anything_is_refused_until_bootstrap_has_changed_it(
    stack: Stack, module: Module, ensure: Ensure, package: Callable[[str], dict[str, str]]
) -> None:
    given = package("old")
    name = "test_a_function_that_takes_anything_is_refused_until_bootstrap_has_changed_it"[:64]
    ensure(name=name, code_signing=None, code_bucket=None, **given)
    module("signed_package", **given, bucket=BUCKET, name=NAME)
    assert "takes code that nobody has signed" in ensure(name=name, **given).message
    attached = module("code_signing", name=NAME, functions=[name])
    assert attached.changed
    assert not module("code_signing", name=NAME, functions=[name, "not-there"]).changed
    assert ensure(name=name, **given).changed
    assert not ensure(name=name, **given).changed
    config = stack.client("lambda", ACCOUNT).get_function_code_signing_config(FunctionName=name)
    assert config["CodeSigningConfigArn"] == attached["config_arn"]


def test_a_cancelled_profile_is_followed_by_another_and_the_end_leaves_none(
    stack: Stack, module: Module
) -> None:
    first = module("code_signing", name="shop-ended", tags={"Project": "shop"})
    assert (first["profile"], first.changed) == ("shop_ended", True)
    assert module("code_signing", name="shop-ended", state="absent").changed
    assert not module("code_signing", name="shop-ended", state="absent").changed
    second = module("code_signing", name="shop-ended")
    assert second["profile"] == "shop_ended_2"
    module("code_signing", name="shop-ended", state="absent")
    configs = stack.client("lambda", ACCOUNT).list_code_signing_configs()["CodeSigningConfigs"]
    assert "shop-ended" not in [config["Description"] for config in configs]
    profiles = stack.client("signer", ACCOUNT).list_signing_profiles()["profiles"]
    assert [p["profileName"] for p in profiles if p["profileName"].startswith("shop_ended")] == []
