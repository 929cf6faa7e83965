"""Emulated Signer signs, and Lambda refuses code that nobody who is allowed has signed."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.aws import trusting
from tests.local.known import until_known

ACCOUNT = "555566668888"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/signee"
PLATFORM = "AWSLambda-SHA384-ECDSA"
Sign = Callable[..., dict[str, str]]


def package(answer: str) -> bytes:
    """Return a function that answers."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("signee.py", f"def handle(event, context):\n    return {answer!r}\n")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def api(stack: Stack) -> dict[str, Any]:
    """Give clients, a role, two profiles, and a bucket that keeps versions."""
    clients = {name: stack.client(name, ACCOUNT) for name in ("iam", "lambda", "s3", "signer")}
    trust = json.dumps(trusting("lambda.amazonaws.com"))
    clients["iam"].create_role(RoleName="signee", AssumeRolePolicyDocument=trust)
    for name in ("ours", "theirs"):
        clients["signer"].put_signing_profile(profileName=name, platformId=PLATFORM)
    location = {"LocationConstraint": "eu-central-1"}
    for name in ("signed-code", "unversioned"):
        clients["s3"].create_bucket(Bucket=name, CreateBucketConfiguration=location)
    clients["s3"].put_bucket_versioning(
        Bucket="signed-code", VersioningConfiguration={"Status": "Enabled"}
    )
    return clients


@pytest.fixture(scope="module")
def sign(api: dict[str, Any]) -> Sign:
    """Sign a package; return where it is."""

    def signing(data: bytes, profile: str = "ours", bucket: str = "signed-code") -> dict[str, str]:
        put = api["s3"].put_object(Bucket=bucket, Key="unsigned/a.zip", Body=data)
        version = put.get("VersionId", "null")
        source = {"bucketName": bucket, "key": "unsigned/a.zip", "version": version}
        job = api["signer"].start_signing_job(
            source={"s3": source},
            destination={"s3": {"bucketName": bucket, "prefix": "signed/"}},
            profileName=profile,
        )["jobId"]
        assert api["signer"].describe_signing_job(jobId=job)["status"] == "InProgress"
        done = api["signer"].describe_signing_job(jobId=job)
        assert done["status"] == "Succeeded", done
        to = done["signedObject"]["s3"]
        return {"S3Bucket": to["bucketName"], "S3Key": to["key"]}

    return signing


@pytest.fixture(scope="module")
def config(api: dict[str, Any]) -> str:
    """Make a configuration that takes what `ours` has signed; return its ARN."""
    profile = api["signer"].get_signing_profile(profileName="ours")["profileVersionArn"]
    made = api["lambda"].create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [profile]},
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )
    arn: str = made["CodeSigningConfig"]["CodeSigningConfigArn"]
    return arn


@pytest.fixture
def function(api: dict[str, Any], sign: Sign, config: str) -> Iterator[str]:
    """Make a function of signed code."""
    until_known(
        api["lambda"].create_function,
        FunctionName="signee",
        Runtime="python3.11",
        Handler="signee.handle",
        Role=ROLE,
        Code=sign(package("signed")),
        CodeSigningConfigArn=config,
    )
    api["lambda"].get_waiter("function_active_v2").wait(FunctionName="signee")
    yield "signee"
    api["lambda"].delete_function(FunctionName="signee")


def refusal(call: Callable[..., Any], **request: Any) -> str:
    """Return the code of the error that a request ends with."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**request)
    return str(caught.value.response["Error"]["Code"])


def changed(api: dict[str, Any], place: dict[str, str]) -> dict[str, str]:
    """Change what lies in a bucket after it was signed."""
    at = {"Bucket": place["S3Bucket"], "Key": place["S3Key"]}
    data = io.BytesIO(api["s3"].get_object(**at)["Body"].read())
    with zipfile.ZipFile(data, "a") as file:
        file.writestr("more.py", "evil = True\n")
    api["s3"].put_object(**at, Body=data.getvalue())
    return place


def test_signed_code_runs(api: dict[str, Any], function: str) -> None:
    answer = api["lambda"].invoke(FunctionName=function)["Payload"].read()
    assert json.loads(answer) == "signed"


def test_code_that_is_not_ours_is_refused(api: dict[str, Any], sign: Sign, function: str) -> None:
    update = api["lambda"].update_function_code
    foreign, swapped = sign(package("x"), "theirs"), changed(api, sign(package("x")))
    said = [
        refusal(update, FunctionName=function, ZipFile=package("unsigned")),
        refusal(update, FunctionName=function, **foreign),
        refusal(update, FunctionName=function, **swapped),
    ]
    assert said == [
        "CodeVerificationFailedException",
        "CodeVerificationFailedException",
        "InvalidCodeSignatureException",
    ]


def test_a_source_is_a_version_of_a_versioned_bucket(api: dict[str, Any], sign: Sign) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="must be version enabled"):
        sign(package("x"), bucket="unversioned")


def test_a_cancelled_profile_signs_nothing_and_keeps_its_name(
    api: dict[str, Any], sign: Sign
) -> None:
    signer = api["signer"]
    signer.put_signing_profile(profileName="former", platformId=PLATFORM)
    signer.cancel_signing_profile(profileName="former")
    with pytest.raises(botocore.exceptions.ClientError, match="not active"):
        sign(package("x"), "former")
    again = {"profileName": "former", "platformId": PLATFORM}
    assert refusal(signer.put_signing_profile, **again) == "ValidationException"
    named = [p["profileName"] for p in signer.list_signing_profiles()["profiles"]]
    assert "former" not in named
    every = signer.list_signing_profiles(includeCanceled=True)["profiles"]
    assert ("former", "Canceled") in {(p["profileName"], p["status"]) for p in every}


def test_a_configuration_in_use_stays(api: dict[str, Any], function: str, config: str) -> None:
    delete = api["lambda"].delete_code_signing_config
    assert refusal(delete, CodeSigningConfigArn=config) == "ResourceConflictException"
    found = api["lambda"].get_function_code_signing_config(FunctionName=function)
    assert found["CodeSigningConfigArn"] == config


def test_who_signs_has_to_read_the_source_and_write_the_result(
    api: dict[str, Any], stack: Stack, sign: Sign
) -> None:
    sign(package("x"))
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    trust = trusting("lambda.amazonaws.com")
    trust["Statement"][0]["Principal"] = root
    arn = api["iam"].create_role(RoleName="signing", AssumeRolePolicyDocument=json.dumps(trust))[
        "Role"
    ]["Arn"]
    keys = stack.client("sts", ACCOUNT).assume_role(RoleArn=arn, RoleSessionName="test")
    signer = stack.client("signer", ACCOUNT, keys["Credentials"])
    version = api["s3"].head_object(Bucket="signed-code", Key="unsigned/a.zip")["VersionId"]
    granted, missed = ["signer:StartSigningJob"], []
    request = {
        "source": {
            "s3": {"bucketName": "signed-code", "key": "unsigned/a.zip", "version": version}
        },
        "destination": {"s3": {"bucketName": "signed-code", "prefix": "signed/"}},
        "profileName": "ours",
    }
    for action in ("s3:GetObjectVersion", "s3:PutObject", "s3:ListBucket"):
        statement = {"Effect": "Allow", "Action": granted, "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        api["iam"].put_role_policy(
            RoleName="signing", PolicyName="p", PolicyDocument=json.dumps(policy)
        )
        missed.append(refusal(signer.start_signing_job, **request))
        granted.append(action)
    assert missed == ["AccessDeniedException"] * 3
