"""ssh's ProxyCommand: a connection to an instance that has no open port and no key of ours.

The public key is pushed to the instance by EC2 Instance Connect, where it is valid for 60 seconds;
the connection is a session of Session Manager, on stdin and stdout. Nothing but boto3 and
session-manager-plugin is needed: python -m ansible_collections.…module_utils.ssh_proxy --help
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import boto3
from ansible_collections.migrations.aws.plugins.module_utils.identity import session_name
from ansible_collections.migrations.aws.plugins.module_utils.session_manager import (
    Document,
    PluginError,
    arguments,
    environment,
    find_plugin,
)
from botocore.exceptions import BotoCoreError, ClientError


def parse(words: list[str]) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="ssh_proxy", description="A connection to an instance")
    parser.add_argument("instance", help="id of the instance")
    parser.add_argument("--port", required=True, help="port of its SSH server")
    parser.add_argument("--user", required=True, help="whom to log in as")
    parser.add_argument("--public-key", required=True, type=Path, help="file of the public key")
    parser.add_argument("--role", required=True, help="ARN of the role that may connect")
    parser.add_argument("--region", required=True, help="region of the instance")
    return parser.parse_args(words)


def assume(role: str, region: str) -> Document:
    """Return the credentials of a session of the role, named after the caller."""
    sts = boto3.client("sts", region_name=region)
    name = session_name(sts.get_caller_identity()["Arn"])
    return dict(sts.assume_role(RoleArn=role, RoleSessionName=name)["Credentials"])


def connect(options: argparse.Namespace) -> None:
    """Push the key, start the session, and become the plugin that carries it."""
    plugin = find_plugin()
    credentials = assume(options.role, options.region)
    session = boto3.Session(
        credentials["AccessKeyId"],
        credentials["SecretAccessKey"],
        credentials["SessionToken"],
        region_name=options.region,
    )
    session.client("ec2-instance-connect").send_ssh_public_key(
        InstanceId=options.instance,
        InstanceOSUser=options.user,
        SSHPublicKey=options.public_key.read_text(),
    )
    request = {
        "Target": options.instance,
        "DocumentName": "AWS-StartSSHSession",
        "Parameters": {"portNumber": [options.port]},
    }
    ssm = session.client("ssm")
    answer = ssm.start_session(**request)
    words = arguments(request, region=options.region, endpoint=ssm.meta.endpoint_url)
    variables = {
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }
    os.execve(plugin, [plugin, *words], environment(answer, variables))  # noqa: S606 (no shell is meant)


def main() -> None:
    """Connect, or end with one line that says why not."""
    options = parse(sys.argv[1:])
    try:
        connect(options)
    except (BotoCoreError, ClientError, OSError, PluginError) as exc:
        sys.exit(f"No connection to {options.instance}: {exc}")


if __name__ == "__main__":
    main()
