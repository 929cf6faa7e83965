"""Clients that act as somebody."""

from typing import Any

import boto3

from local.stack import Stack


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
