"""What stops the pipeline is told once: from CodePipeline's event to the subscriber's queue."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Stack
from tests.aws import subscribed
from tests.playbooks.plays import ACCOUNTS

DEV = ACCOUNTS["dev"]
TOPIC = f"arn:aws:sns:eu-central-1:{DEV}:schema-migrations-pipeline-alarms"
RULES = ("schema-migrations-failed", "schema-migrations-ended")
ACTION, EXECUTION = (
    f"CodePipeline {what} Execution State Change" for what in ("Action", "Pipeline")
)


def event(kind: str, state: str, **detail: Any) -> dict[str, Any]:
    """Return an event as CodePipeline sends it (its user guide, "Monitoring events")."""
    return {
        "version": "0",
        "id": "01234567-EXAMPLE",
        "detail-type": kind,
        "source": "aws.codepipeline",
        "account": DEV,
        "time": "2026-01-24T22:03:07Z",
        "region": "eu-central-1",
        "resources": [f"arn:aws:codepipeline:eu-central-1:{DEV}:schema-migrations"],
        "detail": {
            "pipeline": "schema-migrations",
            "version": 1,
            "execution-id": "12345678-1234-5678-abcd-12345678abcd",
            "state": state,
            **detail,
        },
    }


def action(stage: str, name: str, category: str, summary: str) -> dict[str, Any]:
    """Return the event of an action that failed."""
    result = {
        "external-execution-url": "https://console.aws.amazon.com/somewhere",
        "external-execution-summary": summary,
        "error-code": "JobFailed",
    }
    kind = {"owner": "AWS", "provider": "any", "category": category, "version": "1"}
    return event(
        ACTION, "FAILED", stage=stage, action=name, type=kind, **{"execution-result": result}
    )


# What happened, the events that AWS sends of it, and what people have to read.
STOPPED = {
    "failed source": (
        [action("Source", "Source", "Source", "Access denied"), event(EXECUTION, "FAILED")],
        "Source/Source failed. Access denied",
    ),
    "refused build": (
        [
            action("Dev", "Deploy", "Build", "Cannot have more than 0 builds in queue"),
            event(EXECUTION, "FAILED"),
        ],
        "Dev/Deploy failed. Cannot have more than 0 builds in queue",
    ),
    "rejected approval": (
        [action("Prod", "Approve", "Approval", "Not today"), event(EXECUTION, "FAILED")],
        "Prod/Approve failed. Not today",
    ),
    "expired approval": (
        [action("Prod", "Approve", "Approval", "Expired"), event(EXECUTION, "FAILED")],
        "Prod/Approve failed. Expired",
    ),
    "failed run": (
        [action("Prod", "Migrate", "Build", "Build failed"), event(EXECUTION, "FAILED")],
        "Prod/Migrate failed. Build failed",
    ),
    "cancelled": ([event(EXECUTION, "CANCELED")], "schema-migrations is CANCELED"),
    "stopped": ([event(EXECUTION, "STOPPING"), event(EXECUTION, "STOPPED")], "is STOPPED"),
}
QUIET = [
    event(EXECUTION, "STARTED"),
    event(EXECUTION, "SUCCEEDED"),
    event(ACTION, "SUCCEEDED", stage="Dev", action="Deploy"),
    {**event(EXECUTION, "CANCELED"), "detail": {"pipeline": "another", "state": "CANCELED"}},
]


@pytest.fixture(scope="module")
def patterns(provisioned: Stack) -> dict[str, dict[str, Any]]:
    """Give the patterns of the rules."""
    events = provisioned.client("events", DEV)
    return {name: json.loads(events.describe_rule(Name=name)["EventPattern"]) for name in RULES}


def heard(stack: Stack, patterns: dict[str, dict[str, Any]], one: dict[str, Any]) -> list[str]:
    """Return the rules that an event is for."""
    events = stack.client("events", DEV)
    return [
        name
        for name, pattern in patterns.items()
        if events.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(one))[
            "Result"
        ]
    ]


@pytest.mark.parametrize("what", STOPPED)
def test_what_stops_the_pipeline_is_told_once(
    provisioned: Stack, patterns: dict[str, dict[str, Any]], what: str
) -> None:
    told = [name for one in STOPPED[what][0] for name in heard(provisioned, patterns, one)]
    assert len(told) == 1


def test_what_goes_well_is_not_told(
    provisioned: Stack, patterns: dict[str, dict[str, Any]]
) -> None:
    assert [name for one in QUIET for name in heard(provisioned, patterns, one)] == []


@pytest.fixture(scope="module")
def subscriber(provisioned: Stack) -> Iterator[str]:
    """Subscribe a queue to the topic, as a mailbox would be, and give its URL."""
    with subscribed(provisioned, TOPIC, "mailbox") as url:
        yield url


@pytest.fixture(scope="module")
def relayed(
    provisioned: Stack, patterns: dict[str, dict[str, Any]]
) -> Iterator[dict[str, dict[str, Any]]]:
    """Give rules that do the same for events of ours: nobody else may send AWS's own."""
    events = provisioned.client("events", DEV)
    for name, pattern in patterns.items():
        ours = json.dumps({**pattern, "source": ["test.codepipeline"]})
        targets = events.list_targets_by_rule(Rule=name)["Targets"]
        events.put_rule(Name=f"{name}-test", EventPattern=ours)
        events.put_targets(Rule=f"{name}-test", Targets=targets)
    yield patterns
    for name in patterns:
        events.remove_targets(Rule=f"{name}-test", Ids=["people"])
        events.delete_rule(Name=f"{name}-test")


@pytest.mark.parametrize("what", STOPPED)
def test_the_subscriber_reads_what_stopped_and_what_to_do(
    provisioned: Stack, relayed: dict[str, dict[str, Any]], subscriber: str, what: str
) -> None:
    sent, text = STOPPED[what]
    provisioned.client("events", DEV).put_events(
        Entries=[
            {
                "Source": "test.codepipeline",
                "DetailType": one["detail-type"],
                "Detail": json.dumps(one["detail"]),
            }
            for one in sent
        ]
    )
    sqs = provisioned.client("sqs", DEV)
    (message,) = sqs.receive_message(
        QueueUrl=subscriber, WaitTimeSeconds=20, MaxNumberOfMessages=10
    )["Messages"]
    sqs.delete_message(QueueUrl=subscriber, ReceiptHandle=message["ReceiptHandle"])
    said = json.loads(message["Body"])["Message"]
    assert text in said
    assert "schema-migrations/executions/12345678-1234-5678-abcd-12345678abcd" in said


def test_alarms_and_the_two_rules_may_publish_and_nobody_else(provisioned: Stack) -> None:
    attributes = provisioned.client("sns", DEV).get_topic_attributes(TopicArn=TOPIC)["Attributes"]
    alarms, rules = json.loads(attributes["Policy"])["Statement"]
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert rules["Principal"] == {"Service": "events.amazonaws.com"}
    assert rules["Condition"]["StringEquals"] == {"aws:SourceAccount": DEV}
    scope = f"arn:aws:events:eu-central-1:{DEV}:rule/"
    assert set(rules["Condition"]["ArnEquals"]["aws:SourceArn"]) == {scope + r for r in RULES}
