"""What tests of several folders ask of the emulated AWS, and of the databases behind it."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg2

from local.stack import Stack

REGION = "eu-central-1"


def trusting(service: str, source: str | None = None) -> dict[str, Any]:
    """Return the trust policy of a role for a service, perhaps for one of its resources only."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if source:
        statement["Condition"] = {"ArnEquals": {"aws:SourceArn": source}}
    return {"Version": "2012-10-17", "Statement": [statement]}


@contextlib.contextmanager
def subscribed(stack: Stack, topic: str, name: str) -> Iterator[str]:
    """Subscribe a queue of this name to a topic, given by its ARN, and give the queue's URL."""
    account = topic.split(":")[4]
    sqs, sns = stack.client("sqs", account), stack.client("sns", account)
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{account}:{name}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    yield url
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=url)


def as_master(
    stack: Stack, account: str, cluster: dict[str, Any], database: str, *statements: str
) -> list[tuple[Any, ...]]:
    """Log in to a cluster with its master user's secret, run statements, return the last's rows."""
    secrets = stack.client("secretsmanager", account)
    value = secrets.get_secret_value(SecretId=cluster["MasterUserSecret"]["SecretArn"])
    secret = json.loads(value["SecretString"])
    return run(
        *statements, host=cluster["Endpoint"], port=cluster["Port"], dbname=database,
        user=secret["username"], password=secret["password"],
    )  # fmt: skip


def run(*statements: str, **login: Any) -> list[tuple[Any, ...]]:
    """Run statements in a session of their own, and return the last one's rows."""
    with contextlib.closing(psycopg2.connect(**login)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
