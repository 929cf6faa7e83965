"""A run in CodeBuild, for what takes longer than a Lambda may: started, and followed to its end.

The function starts it, so that nobody may who may not call the function, and who called the
function follows it. What is to be done travels as data, in one variable; what came of it is an
object of S3 whose name is the build's.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypedDict

from runner.aws import calling
from runner.deadline import backoff
from runner.errors import ConfigurationError

EVENT, RESULTS = "RUNNER_EVENT", "RESULTS_BUCKET"
# Bytes of an event, of which base64 makes a third more. All variables of a build have 5,500
# characters together:
# https://docs.aws.amazon.com/codebuild/latest/userguide/limits.html
_MOST = 2500
_PAUSES = (1.0, 10.0)  # seconds between two looks, first and longest
_ARN = re.compile(
    r"arn:aws[a-z-]*:codebuild:([a-z0-9-]+):\d{12}:build/([A-Za-z0-9_-]+):([0-9a-f-]+)"
)


class Started(TypedDict):
    """What the function answers in place of a result."""

    build: str


class Ended(NamedTuple):
    """How a build ended, and the result that it left, if any."""

    status: str
    result: bytes | None
    log: str


def start(project: str, event: Mapping[str, Any], *, token: str) -> Started:
    """Start a build that runs an event.

    Parameters:
        token: the same for the same call; a second one with it starts nothing.

    Raises:
        ConfigurationError: the event is larger than a build takes, or there are no credentials.
        Unreachable: CodeBuild refuses or does not answer.
    """
    text = json.dumps(event, ensure_ascii=False).encode()
    if len(text) > _MOST:
        raise ConfigurationError(
            f"the call has {len(text)} bytes, and a build takes {_MOST}: say less in its options"
        )
    given = {"name": EVENT, "value": base64.b64encode(text).decode(), "type": "PLAINTEXT"}
    with calling("no build can be started", may=f"codebuild:StartBuild on {project}") as boto3:
        build = (
            boto3.Session()
            .client("codebuild")
            .start_build(
                projectName=project, idempotencyToken=token, environmentVariablesOverride=[given]
            )["build"]
        )
    return {"build": build["arn"]}


def given(environment: Mapping[str, str]) -> Any:
    """Return the event that this build was started for."""
    return json.loads(base64.b64decode(environment[EVENT]))


def leave(environment: Mapping[str, str], result: bytes) -> None:
    """Leave the result of this build where `follow` looks for it.

    Raises:
        Unreachable: S3 refuses or does not answer.
    """
    bucket = environment[RESULTS]
    with calling("the result cannot be left", may=f"s3:PutObject on {bucket}") as boto3:
        boto3.Session().client("s3").put_object(
            Bucket=bucket, Key=_key(environment["CODEBUILD_BUILD_ID"]), Body=result
        )


def is_build(arn: object) -> bool:
    """Return whether something is a build's ARN."""
    return isinstance(arn, str) and _ARN.fullmatch(arn) is not None


def follow(arn: str, progress: Callable[[str], None]) -> Ended:
    """Wait for a build's end, and say meanwhile what it says.

    Raises:
        ConfigurationError: that is no build's ARN, or there are no credentials.
        Unreachable: AWS refuses or does not answer.
    """
    if not (named := _ARN.fullmatch(arn)):
        raise ConfigurationError(f"{arn} is no build: arn:aws:codebuild:REGION:ACCOUNT:build/…")
    region, project, unique = named.groups()
    may = f"codebuild:BatchGetBuilds on {project}, read its log and its result"
    with calling(f"the build {project}:{unique} cannot be followed", may=may) as boto3:
        clients = {
            name: boto3.Session().client(name, region_name=region)
            for name in ("codebuild", "logs", "s3")
        }
        said, pauses = _Log(clients["logs"]), backoff(*_PAUSES)
        while True:
            found = clients["codebuild"].batch_get_builds(ids=[f"{project}:{unique}"])["builds"]
            if not found:
                raise ConfigurationError(f"there is no build {arn}")
            ended = found[0]["buildStatus"] != "IN_PROGRESS"
            for text in said.lines(found[0].get("logs", {})):
                progress(text)
            if ended:
                break
            time.sleep(next(pauses))
        for text in _causes(found[0]):
            progress(text)
        group = found[0].get("logs", {}).get("groupName", f"/aws/codebuild/{project}")
        result = _result(clients["s3"], found[0])
    return Ended(found[0]["buildStatus"], result, f"aws logs tail {group} --since 12h")


def _causes(build: Mapping[str, Any]) -> Iterator[str]:
    """Yield what CodeBuild itself says of phases that failed: all there is where none began."""
    for phase in build.get("phases", []):
        if phase.get("phaseStatus", "SUCCEEDED") != "SUCCEEDED":
            yield from (c["message"] for c in phase.get("contexts", []) if c.get("message"))


class _Log:
    """A build's log, from where it was read to last."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._token: dict[str, str] = {}

    def lines(self, place: Mapping[str, str]) -> Iterator[str]:
        """Yield what is new; a build that has not begun has no log yet."""
        if not place.get("streamName"):
            return
        while True:
            try:
                page = self._client.get_log_events(
                    logGroupName=place["groupName"], logStreamName=place["streamName"],
                    startFromHead=True, **self._token,
                )  # fmt: skip
            except self._client.exceptions.ResourceNotFoundException:
                return
            for event in page["events"]:
                if not event["message"].startswith("{"):  # numbers for CloudWatch
                    yield event["message"].rstrip("\n")
            if page["nextForwardToken"] == self._token.get("nextToken"):
                return
            self._token = {"nextToken": page["nextForwardToken"]}


def _result(client: Any, build: Mapping[str, Any]) -> bytes | None:
    variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
    if not (bucket := variables.get(RESULTS)):
        return None
    try:
        found: bytes = client.get_object(Bucket=bucket, Key=_key(build["id"]))["Body"].read()
    except client.exceptions.NoSuchKey:
        return None
    return found


def _key(identity: str) -> str:
    return f"results/{identity.rpartition(':')[2]}.json"
