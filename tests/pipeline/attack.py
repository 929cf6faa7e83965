"""What pushed code tries before anybody approves it: run by a build, it writes down what it could.

It runs inside the builds of the whole line's test, with nothing but what a build has.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.exceptions import ClientError

Try = tuple[str, Callable[[], Any]]
PREFIX = "schema-migrations"
REGION = "eu-central-1"
RIGHTS = ("read", "live", "admin")
# Roles of the environments, and those of the pipeline's own account.
ENVIRONMENT = ("deploy", "look", "sign", "connect", *(f"invoke-{right}" for right in RIGHTS))
PIPELINE = (
    "build-plan-prod", "build-sign-prod", "build-deploy-prod", "build-migrate-prod", "build-update",
    "definition",    "pipeline", "pipeline-operator", "pipeline-reader", "trigger",
)  # fmt: skip


def role(account: str, name: str) -> str:
    """Return a role's ARN."""
    return f"arn:aws:iam::{account}:role/{PREFIX}-{name}"


def outcome(attempt: Callable[[], Any]) -> str:
    """Return what came of an attempt: AWS's code where it is refused."""
    try:
        answer = attempt()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    failed = isinstance(answer, dict) and answer.get("FunctionError")
    return "refused by the function" if failed else "DONE"


def sessions(dev: str, prod: str, found: dict[str, str]) -> Iterator[tuple[str, boto3.Session]]:
    """Yield each identity that the build can take, itself first, as it is found."""
    own = boto3.Session()
    yield "itself", own
    wanted = [(dev, n) for n in (*ENVIRONMENT, *PIPELINE)] + [(prod, n) for n in ENVIRONMENT]
    for account, name in wanted:
        arn = role(account, name)
        taken: dict[str, str] = {}

        def take(arn: str = arn, taken: dict[str, str] = taken) -> None:
            sts = own.client("sts")
            taken |= sts.assume_role(RoleArn=arn, RoleSessionName="attack")["Credentials"]

        where = "dev" if account == dev else "prod"
        found[f"take {where}'s {name}"] = outcome(take)
        if taken:
            yield (
                f"{where}'s {name}",
                boto3.Session(
                    taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"]
                ),
            )


def attempts(session: boto3.Session, dev: str, prod: str) -> Iterator[Try]:
    """Yield the ways to prod that an identity can try."""
    function = f"arn:aws:lambda:{REGION}:{prod}:function:{PREFIX}-prod-runner"
    functions = session.client("lambda")
    for alias in ("", *(f":{right}" for right in RIGHTS)):
        for command in ("plan", "migrate", "rollback"):
            event = {"command": command, "run_id": "x", "options": {}}
            if command == "rollback":
                event["options"] = {"steps": 1, "yes": True}

            def call(name: str = function + alias, event: dict[str, Any] = event) -> Any:
                return functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())

            yield f"call prod{alias} {command}", call
    storage, bucket = session.client("s3"), f"{PREFIX}-files-{prod}-{REGION}"
    yield (
        "write files for prod to plan",
        lambda: storage.put_object(Bucket=bucket, Key="x", Body=b"x"),
    )
    code, signer = f"{PREFIX}-code-{prod}-{REGION}", session.client("signer")
    yield (
        "have code signed",
        lambda: signer.start_signing_job(
            source={"s3": {"bucketName": code, "key": "unsigned/x.zip", "version": "1"}},
            destination={"s3": {"bucketName": code, "prefix": "signed/"}},
            profileName=f"{PREFIX}_prod".replace("-", "_"),
        ),
    )
    yield from _function(functions, function)
    yield from _line(session, dev)
    yield from _roles(session.client("iam"))


def _function(functions: Any, function: str) -> Iterator[Try]:
    yield (
        "turn the digest off",
        lambda: functions.update_function_configuration(
            FunctionName=function, Environment={"Variables": {}}
        ),
    )
    yield (
        "move an alias",
        lambda: functions.update_alias(FunctionName=function, Name="live", FunctionVersion="1"),
    )
    yield (
        "replace the code",
        lambda: functions.update_function_code(FunctionName=function, ZipFile=b"x"),
    )


def _line(session: boto3.Session, dev: str) -> Iterator[Try]:
    builds, storage = session.client("codebuild"), session.client("s3")
    events, bucket = session.client("events"), f"{PREFIX}-artifacts-{dev}-{REGION}"
    project = {
        "source": {"type": "NO_SOURCE", "buildspec": "version: 0.2"},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {
            "type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL",
        },
    }  # fmt: skip
    for build in ("deploy-prod", "migrate-prod", "update"):
        name = f"{PREFIX}-{build}"
        yield f"start {build}", lambda name=name: builds.start_build(projectName=name)
        yield f"change {build}", lambda name=name: builds.update_project(name=name, **project)
        yield (
            f"pass the role of {build}",
            lambda build=build: builds.create_project(
                name=f"{PREFIX}-mine", serviceRole=role(dev, f"build-{build}"), **project
            ),
        )
    yield (
        "write the artifact",
        lambda: storage.put_object(Bucket=bucket, Key=f"{PREFIX}/Source/x", Body=b"x"),
    )
    yield "open the bucket", lambda: storage.delete_bucket_policy(Bucket=bucket)
    yield (
        "change the trigger",
        lambda: events.put_targets(
            Rule=f"{PREFIX}-trigger", Targets=[{"Id": "x", "Arn": f"arn:aws:sns:{REGION}:{dev}:x"}]
        ),
    )


def _roles(iam: Any) -> Iterator[Try]:
    everything = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
        }
    )
    for name in ("build-check", "build-deploy-prod", "deploy", "invoke-live", "pipeline-operator"):
        named = f"{PREFIX}-{name}"
        yield (
            f"give {name} every right",
            lambda named=named: iam.put_role_policy(
                RoleName=named, PolicyName="x", PolicyDocument=everything
            ),
        )
        yield (
            f"trust oneself in {name}",
            lambda named=named: iam.update_assume_role_policy(
                RoleName=named, PolicyDocument=everything
            ),
        )
    yield (
        "make a role",
        lambda: iam.create_role(RoleName=f"{PREFIX}-mine", AssumeRolePolicyDocument=everything),
    )


def main(build: str, dev: str, prod: str, path: str) -> None:
    """Try everything, and add a line to a file: what came of what, by whom."""
    found: dict[str, str] = {}
    for who, session in sessions(dev, prod, found):
        for what, attempt in attempts(session, dev, prod):
            found[f"{who}: {what}"] = outcome(attempt)
    with open(path, "a") as file:  # noqa: PTH123 (one line, added)
        file.write(json.dumps({"build": build, "found": found}) + "\n")


if __name__ == "__main__":
    main(os.environ["CODEBUILD_BUILD_ID"].partition(":")[0], *sys.argv[1:])
