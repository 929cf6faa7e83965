"""Who there is in an account, and clients that act as somebody."""

from typing import Any

import boto3

from local.stack import Stack
from tests.playbooks.plays import ACCOUNTS


def client(stack: Stack, service: str, keys: dict[str, str]) -> Any:
    """Return a client that uses a session's keys."""
    return boto3.client(
        service,
        endpoint_url=stack.environment()["AWS_ENDPOINT_URL"],
        region_name="eu-central-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def acting(stack: Stack, service: str, account: str, role: str) -> Any:
    """Return a client that acts as a role of an account, taken by the account's own hand."""
    answer = stack.client("sts", account).assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName="test"
    )
    return client(stack, service, answer["Credentials"])


def roles(stack: Stack, account: str) -> dict[str, dict[str, Any]]:
    """Return our roles of an account by their names."""
    found = stack.client("iam", account).list_roles()["Roles"]
    return {r["RoleName"]: r for r in found if r["RoleName"].startswith("schema-migrations-")}


def session(stack: Stack, build: str) -> Any:
    """Return an STS client that acts as a CodeBuild role of dev, as its project would."""
    account = ACCOUNTS["dev"]
    project = f"schema-migrations-{build.removeprefix('build-')}"
    answer = stack.client("sts", account).assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/schema-migrations-{build}",
        RoleSessionName="build",
        # The emulator takes it for aws:SourceArn.
        ExternalId=f"arn:aws:codebuild:eu-central-1:{account}:project/{project}",
    )
    return client(stack, "sts", answer["Credentials"])
