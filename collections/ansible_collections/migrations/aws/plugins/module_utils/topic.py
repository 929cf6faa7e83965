"""An SNS topic and who gets its mail."""

from __future__ import annotations

import json

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    Converge,
    Document,
    difference,
    tag_dict,
    tag_list,
)

MISSING = ("NotFound",)
PENDING = "PendingConfirmation"  # instead of a subscription's ARN
GONE = "Deleted"


class Topic:
    """A topic with its subscriptions by e-mail.

    It is not encrypted: it carries no secret, only an alarm's text and numbers. With the default
    key of SNS it would drop what CloudWatch sends, and a key of its own would cost more than the
    alarms and be one more policy that must be right for a mail to arrive. Its policy lets the
    alarms and the rules publish and nobody else.

    Parameters:
        arn: the topic's.
        alarms: pattern of the ARNs of the alarms that may publish.
        rules: ARNs of the rules of EventBridge that may.
    """

    def __init__(self, run: Converge, arn: str, alarms: str, rules: list[str]) -> None:
        self.run, self.arn = run, arn
        self.sns = run.client("sns")
        self.wanted_policy = policy(arn, alarms, rules)
        found = self._subscriptions()
        self.exists = found is not None
        self.subscriptions = found or {}
        self.tags = self._tags() if self.exists else {}
        self.policy = self._policy() if self.exists else {}

    def _subscriptions(self) -> dict[str, str] | None:
        """Return the subscriptions' ARNs by their addresses; None if there is no such topic."""
        found: dict[str, str] = {}
        request = {"TopicArn": self.arn}
        while True:
            answer = self.run.read(self.sns.list_subscriptions_by_topic, MISSING, **request)
            if answer is None:
                return None
            for one in answer["Subscriptions"]:
                if one["Protocol"] == "email" and one["SubscriptionArn"] != GONE:
                    found[one["Endpoint"]] = one["SubscriptionArn"]
            if not answer.get("NextToken"):
                return found
            request["NextToken"] = answer["NextToken"]

    def _tags(self) -> dict[str, str]:
        answer = self.run.read(self.sns.list_tags_for_resource, ResourceArn=self.arn) or {}
        return tag_dict(answer["Tags"])

    def _policy(self) -> Document:
        answer = self.run.read(self.sns.get_topic_attributes, TopicArn=self.arn) or {}
        found: Document = json.loads(answer["Attributes"].get("Policy", "{}"))
        return found

    def describe(self) -> Document:
        """Return what was found, in the terms of `wanted`."""
        if not self.exists:
            return {}
        emails = sorted(self.subscriptions)
        return {"arn": self.arn, "emails": emails, "policy": self.policy, "tags": self.tags}

    def wanted(self, emails: list[str], tags: dict[str, str]) -> Document:
        """Return what `ensure` will leave: only AWS can end an address that never confirmed."""
        waiting = {email for email, arn in self.subscriptions.items() if arn == PENDING}
        return {
            "arn": self.arn,
            "emails": sorted({*emails, *waiting}),
            "policy": self.wanted_policy,
            "tags": {**self.tags, **tags},
        }

    def ensure(self, emails: list[str], tags: dict[str, str]) -> None:
        """Make or tag the topic, subscribe the addresses and unsubscribe all others."""
        if self.exists:
            self._correct(tags)
        else:
            attributes = {"Policy": json.dumps(self.wanted_policy)}
            request = {"Name": self.arn.rpartition(":")[2], "Attributes": attributes}
            self.run.send(self.sns.create_topic, Tags=tag_list(tags), **request)
        for email in sorted(set(emails) - self.subscriptions.keys()):
            request = {"Protocol": "email", "Endpoint": email}
            self.run.send(self.sns.subscribe, TopicArn=self.arn, **request)
        for email in sorted(self.subscriptions.keys() - set(emails)):
            if (arn := self.subscriptions[email]) != PENDING:
                self.run.send(self.sns.unsubscribe, SubscriptionArn=arn)

    def _correct(self, tags: dict[str, str]) -> None:
        """Mend the policy and the tags of a topic that exists."""
        if self.policy != self.wanted_policy:
            document = json.dumps(self.wanted_policy)
            request = {"AttributeName": "Policy", "AttributeValue": document}
            self.run.send(self.sns.set_topic_attributes, TopicArn=self.arn, **request)
        if missing := difference(self.tags, tags):
            self.run.send(self.sns.tag_resource, ResourceArn=self.arn, Tags=tag_list(missing))

    def remove(self) -> None:
        """Delete the topic with its subscriptions."""
        if self.exists:
            self.run.send(self.sns.delete_topic, TopicArn=self.arn)


def policy(topic: str, alarms: str, rules: list[str]) -> Document:
    """Return the policy of a topic that alarms and rules of its own account may publish to.

    Parameters:
        alarms: pattern of the alarms' ARNs.
        rules: the rules' ARNs.
    """
    publishers = [publisher("Alarms", "cloudwatch.amazonaws.com", topic, "ArnLike", alarms)]
    if rules:
        publishers.append(publisher("Rules", "events.amazonaws.com", topic, "ArnEquals", rules))
    return {"Version": "2012-10-17", "Statement": publishers}


def publisher(
    sid: str, service: str, topic: str, operator: str, sources: str | list[str]
) -> Document:
    """Return the statement by which a service may publish for some things of the account."""
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sns:Publish",
        "Resource": topic,
        "Condition": {
            operator: {"aws:SourceArn": sources},
            "StringEquals": {"aws:SourceAccount": topic.split(":")[4]},
        },
    }
