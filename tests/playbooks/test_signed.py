"""An environment whose inventory signs: who deploys cannot sign, and who signs cannot deploy."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.playbooks.identities import acting
from tests.playbooks.plays import ACCOUNTS

LOCAL = ACCOUNTS["local"]
RUNNER = "schema-migrations-local-runner"
DENIED = ("AccessDeniedException", "AccessDenied")


def refusal(call: Callable[..., Any], **request: Any) -> str:
    """Return the code of the error that a request ends with."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**request)
    return str(caught.value.response["Error"]["Code"])


def test_who_deploys_can_neither_sign_nor_do_without(provisioned: Stack) -> None:
    api = acting(provisioned, "lambda", LOCAL, "schema-migrations-deploy")
    signer = acting(provisioned, "signer", LOCAL, "schema-migrations-deploy")
    name = {"FunctionName": RUNNER}
    config = api.get_function_code_signing_config(**name)["CodeSigningConfigArn"]
    role = api.get_function(**name)["Configuration"]["Role"]
    unsigned = io.BytesIO()
    with zipfile.ZipFile(unsigned, "w") as file:
        file.writestr("runner/handler.py", "evil = True\n")
    code = {"ZipFile": unsigned.getvalue()}
    bucket = f"schema-migrations-code-{LOCAL}-eu-central-1"
    job = {
        "source": {"s3": {"bucketName": bucket, "key": "unsigned/a.zip", "version": "1"}},
        "destination": {"s3": {"bucketName": bucket, "prefix": "signed/"}},
        "profileName": "schema_migrations_local",
    }
    assert refusal(api.update_function_code, **name, **code) == "CodeVerificationFailedException"
    refused = [
        refusal(api.delete_function_code_signing_config, **name),
        refusal(api.put_function_code_signing_config, **name, CodeSigningConfigArn=config),
        refusal(api.update_code_signing_config, CodeSigningConfigArn=config),
        refusal(api.delete_code_signing_config, CodeSigningConfigArn=config),
        refusal(api.create_function, **name, Role=role, Code=code),
        refusal(signer.start_signing_job, **job),
    ]
    assert set(refused) <= set(DENIED)


def test_who_signs_cannot_deploy(provisioned: Stack) -> None:
    api = acting(provisioned, "lambda", LOCAL, "schema-migrations-sign")
    code = {"S3Bucket": "any", "S3Key": "signed/any"}
    assert refusal(api.update_function_code, FunctionName=RUNNER, **code) in DENIED
    assert refusal(api.invoke, FunctionName=f"{RUNNER}:live") in DENIED
