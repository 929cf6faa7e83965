"""The alarms of one thing, as CloudWatch has them, and the topic that they ring."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    Converge,
    Document,
    difference,
    tag_dict,
    tag_list,
)
from ansible_collections.migrations.aws.plugins.module_utils.topic import Topic

PERIOD = 300  # seconds
LOOK = 100  # alarms of one answer, more than anything watched has


class Alarms:
    """The alarms of one thing, and the topic that they ring."""

    def __init__(self, run: Converge) -> None:
        self.run, self.p = run, run.params
        self.cloudwatch = run.client("cloudwatch")
        scope = f"{run.module.region}:{self.p['account_id']}"
        self.arn = f"arn:aws:cloudwatch:{scope}:alarm:"
        alarms = f"{self.arn}{self.p['name']}-*"
        rules = [f"arn:aws:events:{scope}:rule/{rule}" for rule in self.p["rules"]]
        self.topic = Topic(run, f"arn:aws:sns:{scope}:{self.p['name']}-alarms", alarms, rules)
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
