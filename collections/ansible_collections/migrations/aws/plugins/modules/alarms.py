#!/usr/bin/python
"""Ansible module: the alarms of one thing, and the topic that carries them to people."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    STATE,
    TAGS,
    Converge,
    Document,
    difference,
    tag_dict,
    tag_list,
)
from ansible_collections.migrations.aws.plugins.module_utils.topic import Topic

DOCUMENTATION = r"""
module: alarms
short_description: Ensure CloudWatch alarms, their SNS topic and who gets its mail
description:
  - Ensures a topic I(name)-alarms, its subscriptions by e-mail, and the alarms that ring it.
  - Alarms whose names begin with I(name)- are this module's; those no longer listed are removed, as
    are addresses. An address that was not confirmed cannot be removed; AWS forgets it by itself.
  - Missing data is no alarm, for what is watched seldom runs. Nothing is sent when an alarm ends.
options:
  name:
    description: What is watched. Begins the names of the topic and the alarms.
    type: str
    required: true
  account_id:
    description: The account, for the topic's ARN.
    type: str
    required: true
  emails:
    description: Addresses to mail. AWS asks each of them to confirm.
    type: list
    elements: str
    default: []
  alarms:
    description: The alarms.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Ends the alarm's name, after I(name) and a dash.
        type: str
        required: true
      description:
        description: What it means and what to do, for whoever is woken by it.
        type: str
        required: true
      namespace:
        description: Namespace of the metric.
        type: str
        required: true
      metric:
        description: Name of the metric.
        type: str
        required: true
      dimensions:
        description: Dimensions of the metric.
        type: dict
        default: {}
      statistic:
        description: Statistic of each 5 minutes.
        type: str
        choices: [Sum, Maximum]
        required: true
      above:
        description: It rings when the statistic of any 5 minutes is above this.
        type: float
        required: true
      minutes:
        description: How far back it looks, a multiple of 5. At least as long as data may be late.
        type: int
        default: 5
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - migrations.aws.converge
  - migrations.aws.converge.state
  - migrations.aws.converge.tags
"""

EXAMPLES = r"""
- name: Tell the team when the function fails
  migrations.aws.alarms:
    name: shop-dev-runner
    account_id: "111122223333"
    emails: [team@example.com]
    alarms:
      - name: errors
        description: An invocation failed. Its log says why.
        namespace: AWS/Lambda
        metric: Errors
        dimensions: { FunctionName: shop-dev-runner }
        statistic: Sum
        above: 0
        minutes: 30
"""

RETURN = r"""
topic_arn:
  description: The topic's ARN, also of one that check mode would make.
  returned: always
  type: str
"""

STRING = {"type": "str", "required": True}
ALARM = {
    "name": STRING,
    "description": STRING,
    "namespace": STRING,
    "metric": STRING,
    "dimensions": {"type": "dict", "default": {}},
    "statistic": {"type": "str", "choices": ["Sum", "Maximum"], "required": True},
    "above": {"type": "float", "required": True},
    "minutes": {"type": "int", "default": 5},
}
SPEC = {
    "name": STRING,
    "account_id": STRING,
    "emails": {"type": "list", "elements": "str", "default": []},
    "alarms": {"type": "list", "elements": "dict", "default": [], "options": ALARM},
    "tags": TAGS,
    "state": STATE,
}
PERIOD = 300  # seconds
LOOK = 100  # alarms of one answer, more than anything watched has


class Alarms:
    """The alarms of one thing, and the topic that they ring."""

    def __init__(self, run: Converge) -> None:
        self.run, self.p = run, run.params
        self.cloudwatch = run.client("cloudwatch")
        scope = f"{run.module.region}:{self.p['account_id']}"
        self.topic = Topic(run, f"arn:aws:sns:{scope}:{self.p['name']}-alarms")
        self.arn = f"arn:aws:cloudwatch:{scope}:alarm:"
        self.found = {alarm["AlarmName"]: alarm for alarm in self._describe()}

    def _describe(self) -> list[Document]:
        answer = self.run.read(
            self.cloudwatch.describe_alarms,
            AlarmNamePrefix=f"{self.p['name']}-",
            AlarmTypes=["MetricAlarm"],
            MaxRecords=LOOK,
        )
        alarms: list[Document] = (answer or {})["MetricAlarms"]
        for alarm in alarms:
            tags = self.run.read(
                self.cloudwatch.list_tags_for_resource, ResourceARN=self.arn + alarm["AlarmName"]
            )
            alarm["Tags"] = tag_dict((tags or {})["Tags"])
        return alarms

    def ensure(self) -> None:
        """Make the topic before the alarms that ring it, and remove what is no longer listed."""
        wanted = {alarm["AlarmName"]: alarm for alarm in map(self._request, self.p["alarms"])}
        topic = self.p["emails"], self.p["tags"]
        self.run.before = {
            "topic": self.topic.describe(),
            "alarms": {
                name: {key: alarm.get(key) for key in [*wanted.get(name, {}), "Tags"]}
                for name, alarm in self.found.items()
            },
        }
        self.run.after = {
            "topic": self.topic.wanted(*topic),
            "alarms": {
                name: {**alarm, "Tags": {**self._tags(name), **self.p["tags"]}}
                for name, alarm in wanted.items()
            },
        }
        self.topic.ensure(*topic)
        for name, alarm in wanted.items():
            self._ensure_alarm(name, alarm)
        self._delete(self.found.keys() - wanted.keys())

    def _request(self, alarm: Document) -> Document:
        """Return an alarm in AWS's terms."""
        dimensions = sorted(alarm["dimensions"].items())
        return {
            "AlarmName": f"{self.p['name']}-{alarm['name']}",
            "AlarmDescription": alarm["description"],
            "Namespace": alarm["namespace"],
            "MetricName": alarm["metric"],
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions],
            "Statistic": alarm["statistic"],
            "Period": PERIOD,
            "EvaluationPeriods": alarm["minutes"] * 60 // PERIOD,
            "DatapointsToAlarm": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": alarm["above"],
            "TreatMissingData": "notBreaching",
            "ActionsEnabled": True,
            "AlarmActions": [self.topic.arn],
            "OKActions": [],
        }

    def _tags(self, name: str) -> dict[str, str]:
        return dict(self.found.get(name, {}).get("Tags", {}))

    def _ensure_alarm(self, name: str, wanted: Document) -> None:
        tags = self.p["tags"]
        if name not in self.found:
            self.run.send(self.cloudwatch.put_metric_alarm, Tags=tag_list(tags), **wanted)
            return
        if difference(self.found[name], wanted):
            self.run.send(self.cloudwatch.put_metric_alarm, **wanted)
        # Of an alarm that exists, a put leaves the tags as they are.
        if missing := difference(self._tags(name), tags):
            self.run.send(
                self.cloudwatch.tag_resource, ResourceARN=self.arn + name, Tags=tag_list(missing)
            )

    def _delete(self, names: Iterable[str]) -> None:
        if unwanted := sorted(names):
            self.run.send(self.cloudwatch.delete_alarms, AlarmNames=unwanted)

    def remove(self) -> None:
        """Delete the alarms, then the topic that they ring."""
        if self.topic.exists or self.found:
            self.run.before = {"topic": self.topic.describe(), "alarms": sorted(self.found)}
        self._delete(self.found)
        self.topic.remove()


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    for alarm in run.params["alarms"]:
        if alarm["minutes"] < 1 or alarm["minutes"] * 60 % PERIOD:
            run.module.fail_json(
                msg=f"alarm {alarm['name']}: minutes is {alarm['minutes']}, not a multiple of 5"
            )
    alarms = Alarms(run)
    if run.params["state"] == "present":
        alarms.ensure()
    else:
        alarms.remove()
    run.exit(topic_arn=alarms.topic.arn)


if __name__ == "__main__":
    main()
