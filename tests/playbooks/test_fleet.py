"""The state machines of a deployed fleet: who may start them, and the playbook that does."""

import json
import re
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.playbooks.identities import acting
from tests.playbooks.plays import ACCOUNTS, Playbooks

LOCAL = ACCOUNTS["local"]
LIVE = f"arn:aws:states:eu-central-1:{LOCAL}:stateMachine:schema-migrations-local-fleet-live"
BUCKET = f"schema-migrations-files-{LOCAL}-eu-central-1"
RUNNER = f"arn:aws:lambda:eu-central-1:{LOCAL}:function:schema-migrations-local-runner"


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("stepfunctions", lambda api: api.start_execution(stateMachineArn=LIVE)),
        ("stepfunctions", lambda api: api.describe_state_machine(stateMachineArn=LIVE)),
        ("s3", lambda api: api.put_object(
            Bucket=BUCKET, Key="fleets/schema-migrations-local-fleet-live/list", Body=b"")),
    ],
    ids=["start", "look", "list"],
)  # fmt: skip
def test_who_may_look_cannot_have_a_fleet_migrated(
    provisioned: Stack, service: str, call: Callable[[Any], Any]
) -> None:
    api = acting(provisioned, service, LOCAL, "schema-migrations-invoke-read")
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        call(api)


def test_fleet_is_planned_approved_and_migrated_by_the_playbook(
    provisioned: Stack, playbook: Playbooks
) -> None:
    """As the invoke roles, whose rights suffice for it; each target is our own function here."""
    given = {"fleet_targets": [{"name": "all", "function": RUNNER}], "fleet_canary": 1}
    plan = playbook("playbooks/migrate.yml", "local", "--check", "-e", json.dumps(given))
    assert plan.status == 0, plan.output
    digest = re.search(r"fleet:sha256:[0-9a-f]{64}", plan.message)
    assert digest, plan.output
    refused = playbook("playbooks/migrate.yml", "local", "-e", json.dumps(given))
    assert "approved plans only" in refused.message
    given["plan_digest"] = digest[0]
    done = playbook("playbooks/migrate.yml", "local", "-e", json.dumps(given))
    assert done.status == 0, done.output
    assert "1 current" in done.message
