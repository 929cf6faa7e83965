#!/usr/bin/python
"""Ansible module: the alarms of one thing, and the topic that carries them to people."""

from __future__ import annotations

from ansible_collections.migrations.aws.plugins.module_utils.alarms import PERIOD, Alarms
from ansible_collections.migrations.aws.plugins.module_utils.converge import STATE, TAGS, Converge

DOCUMENTATION = r"""
module: alarms
short_description: Ensure CloudWatch alarms, their SNS topic and who gets its mail
description:
  - Ensures a topic I(name)-alarms, its subscriptions by e-mail, and the alarms that ring it.
  - Alarms whose names begin with I(name)- are this module's; those no longer listed are removed, as
    are addresses. An address that was not confirmed cannot be removed; AWS forgets it by itself.
  - Missing data is no alarm, for what is watched seldom runs. Nothing is sent when an alarm ends.
  - Instead of M(amazon.aws.cloudwatch_metric_alarm) and M(community.aws.sns_topic). The first
    knows no tags, leaves an alarm whose actions somebody has turned off as it is and calls that
    unchanged, and leaves alarms that are no longer listed. The second fails in check mode where a
    topic that is to have a policy does not exist yet, and must be allowed to list all topics of
    the account.
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
  rules:
    description: Names of the rules of EventBridge whose events the topic takes too.
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
    "rules": {"type": "list", "elements": "str", "default": []},
    "alarms": {"type": "list", "elements": "dict", "default": [], "options": ALARM},
    "tags": TAGS,
    "state": STATE,
}


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
