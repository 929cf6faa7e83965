"""A failed run rings: from the line that the function prints to the subscriber's queue."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Stack
from tests.aws import subscribed
from tests.playbooks.iam.account import ACCOUNT, RUNNER
from tests.playbooks.plays import Play

TOPIC = f"arn:aws:sns:eu-central-1:{ACCOUNT}:{RUNNER}-alarms"
ALARM = f"{RUNNER}-failed"


@pytest.fixture
def queue(deployed: dict[str, Play], stack: Stack) -> Iterator[str]:
    """Subscribe a queue to the topic, as a pager would, and give its URL."""
    with subscribed(stack, TOPIC, "pager") as url:
        yield url


@pytest.fixture(scope="module")
def numbers(deployed: dict[str, Play], stack: Stack) -> dict[str, Any]:
    """Let a run fail, and return the line with its numbers."""
    event = {"command": "migrate", "run_id": "fails", "options": {"target": "no version"}}
    answer = stack.client("lambda", ACCOUNT).invoke(
        FunctionName=f"{RUNNER}:live", LogType="Tail", Payload=json.dumps(event).encode()
    )
    assert answer["FunctionError"]
    log = base64.b64decode(answer["LogResult"]).decode().splitlines()
    (line,) = [line for line in log if line.startswith('{"_aws"')]
    return dict(json.loads(line))


def read(stack: Stack, queue: str) -> dict[str, Any]:
    """Return the alarm that comes out of the queue."""
    found = stack.client("sqs", ACCOUNT).receive_message(QueueUrl=queue, WaitTimeSeconds=20)
    (message,) = found["Messages"]
    return dict(json.loads(json.loads(message["Body"])["Message"]))


def test_the_printed_numbers_are_those_the_alarm_watches(
    numbers: dict[str, Any], stack: Stack
) -> None:
    found = stack.client("cloudwatch", ACCOUNT).describe_alarms(AlarmNames=[ALARM])
    (alarm,) = found["MetricAlarms"]
    (directive,) = numbers["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == alarm["Namespace"]
    assert directive["Dimensions"] == [[d["Name"] for d in alarm["Dimensions"]]]
    assert {d["Name"]: numbers[d["Name"]] for d in alarm["Dimensions"]} == {"FunctionName": RUNNER}
    assert alarm["MetricName"] in {metric["Name"] for metric in directive["Metrics"]}
    assert numbers[alarm["MetricName"]] > alarm["Threshold"]


def test_a_failed_runs_number_reaches_the_subscriber(
    numbers: dict[str, Any], stack: Stack, queue: str
) -> None:
    (directive,) = numbers["_aws"]["CloudWatchMetrics"]
    # What CloudWatch makes of the line.
    stack.client("cloudwatch", ACCOUNT).put_metric_data(
        Namespace=directive["Namespace"],
        MetricData=[
            {
                "MetricName": "Failed",
                "Dimensions": [{"Name": "FunctionName", "Value": numbers["FunctionName"]}],
                "Value": numbers["Failed"],
            }
        ],
    )
    rung = read(stack, queue)
    assert (rung["AlarmName"], rung["NewStateValue"]) == (ALARM, "ALARM")


@pytest.mark.parametrize("what", ["errors", "duration"])
def test_each_alarm_reaches_the_subscriber(stack: Stack, queue: str, what: str) -> None:
    cloudwatch, name = stack.client("cloudwatch", ACCOUNT), f"{RUNNER}-{what}"
    for state in ("OK", "ALARM"):  # it rings as its state changes
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")
    assert read(stack, queue)["AlarmName"] == name


def test_nobody_but_the_alarms_may_publish(deployed: dict[str, Play], stack: Stack) -> None:
    attributes = stack.client("sns", ACCOUNT).get_topic_attributes(TopicArn=TOPIC)["Attributes"]
    (statement,) = json.loads(attributes["Policy"])["Statement"]
    alarms = f"arn:aws:cloudwatch:eu-central-1:{ACCOUNT}:alarm:{RUNNER}-*"
    assert statement == {
        "Sid": "Alarms",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": TOPIC,
        "Condition": {
            "ArnLike": {"aws:SourceArn": alarms},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    }
