"""Bad input gives one clear line with the fix, and changes nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from local.stack import Stack
from tests.playbooks.plays import ACCOUNTS, ROOT, Playbooks


def test_credentials_of_another_account_are_refused(playbook: Playbooks) -> None:
    play = playbook("site.yml", "prod", AWS_ACCESS_KEY_ID="111122223333")
    assert play.status != 0
    assert play.count("changed") == 0
    assert (
        "These credentials are of account 111122223333 (arn:aws:iam::111122223333:root), but the "
        "inventory 'prod' is account 444455556666. Use credentials of 444455556666" in play.message
    )


def test_bootstrap_refuses_another_account_too(playbook: Playbooks) -> None:
    play = playbook("playbooks/bootstrap.yml", "dev", AWS_ACCESS_KEY_ID="444455556666")
    assert play.status != 0
    assert play.count("changed") == 0
    assert "but the inventory 'dev' is account 111122223333" in play.message


def test_bootstrap_refuses_an_account_that_may_not_build(playbook: Playbooks) -> None:
    builds = [
        {
            "service": "codebuild",
            "name": "Concurrently running builds for ARM/Small environment",
            "at_least": 2,
            "key": "pipeline_container",
            "refused": "Cannot have more than 1 builds in queue",
            "fix": "ask for more",
        }
    ]
    quotas = json.dumps({"bootstrap_builds": builds})
    play = playbook("playbooks/bootstrap.yml", "dev", "-e", quotas)
    assert play.status != 0
    assert play.count("changed") == 0
    assert "pipeline_container: this account's quota" in play.message
    assert "AWS would say later: Cannot have more than 1 builds in queue" in play.message


def test_missing_credentials_are_asked_for(playbook: Playbooks) -> None:
    play = playbook("site.yml", "prod", AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert play.status != 0
    assert "No AWS credentials were found. Give those of account 444455556666" in play.message


def test_the_local_inventory_never_reaches_the_real_aws(playbook: Playbooks) -> None:
    play = playbook("site.yml", "local", AWS_ENDPOINT_URL=None)
    assert play.status != 0
    assert "AWS_ENDPOINT_URL is not set" in play.message
    assert "Run `make local`" in play.message


def test_a_region_whose_authority_is_not_in_the_bundle_is_named(playbook: Playbooks) -> None:
    play = playbook("site.yml", "prod", "-e", "aws_region=il-central-1")
    assert play.status != 0
    assert "rds-ca-bundle.pem has no authority of RDS in il-central-1" in play.message
    assert "https://truststore.pki.rds.amazonaws.com/il-central-1/" in play.message


def test_an_endpoint_that_nobody_serves_is_named(playbook: Playbooks) -> None:
    play = playbook("site.yml", "local", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert play.status != 0
    assert 'Could not connect to the endpoint URL: "http://127.0.0.1:9/"' in play.message
    assert "`make local` starts the local stack" in play.message


def test_an_account_without_bootstrap_is_told_to_run_it(playbook: Playbooks) -> None:
    play = playbook(
        "site.yml", "prod", "-e", "account_id=555566667777", AWS_ACCESS_KEY_ID="555566667777"
    )
    assert play.status != 0
    assert "playbooks/bootstrap.yml -i inventories/prod" in play.message


@pytest.mark.usefixtures("provisioned")
def test_a_missing_variable_is_named(playbook: Playbooks, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "inventories/local", tmp_path, dirs_exist_ok=True)
    variables = tmp_path / "group_vars/aws.yml"
    given = variables.read_text().splitlines()
    variables.write_text("\n".join(line for line in given if "network_cidr" not in line))
    play = playbook(
        "playbooks/network.yml",
        "local",
        *("-e", '{"preflight_connection": {}}'),
        inventory=str(tmp_path),
    )
    assert play.status != 0
    assert play.count("changed") == 0
    assert "missing required arguments: network_cidr" in play.message


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"runner_name": "x" * 65}, "is not what Lambda and IAM take: 1 to 64 letters"),
        ({"runner_memory": 64}, "runner_memory: 64 MB is not in Lambda's range, 128 to 10240"),
        ({"runner_log_days": 91}, "runner_log_days must be one of: 1, 3, 5,"),
        ({"runner_keep_versions": 0}, "runner_keep_versions: 0 leaves none for the alias"),
        ({"runner_executor_minutes": 3}, "3 is not in CodeBuild's range, 5 to 2160"),
        ({"runner_alarm_emails": ["team"]}, "runner_alarm_emails: no mail address: team"),
        ({"runner_ca_bundle_sha256": ""}, "'' is neither 64 hex digits nor 'unchecked'"),
    ],
    ids=["name", "memory", "log days", "versions", "minutes", "mail", "checksum"],
)
def test_what_aws_would_refuse_late_is_refused_at_once(
    playbook: Playbooks, given: dict[str, Any], line: str
) -> None:
    play = playbook("site.yml", "prod", "-e", json.dumps(given))
    assert play.status != 0
    assert play.count("changed") == 0
    assert line in play.message


@pytest.mark.parametrize(
    ("fleet", "line"),
    [
        (
            {"targets": "inventories/prod/targets.json"},
            "inventories/prod/targets.json is below inventories/",
        ),
        ({"targets": "targets.json", "tolerate": "0.5%"}, "prod: canary is a number from 1, and"),
    ],
    ids=["read as an inventory", "half a per cent"],
)
def test_fleet_of_a_stage_that_would_fail_behind_the_approval_is_refused(
    playbook: Playbooks, fleet: dict[str, Any], line: str
) -> None:
    stage = {"env": "prod", "account_id": ACCOUNTS["prod"], "region": "eu-central-1"}
    given = json.dumps({"pipeline_stages": [{**stage, "approval": True, "fleet": fleet}]})
    play = playbook("playbooks/pipeline.yml", "dev", "-e", given)
    assert play.status != 0
    assert play.count("changed") == 0
    assert line in play.message


@pytest.mark.parametrize("options", [(), ("-e", "confirm=dev")], ids=["nothing", "another name"])
def test_destroy_wants_the_name_of_the_environment(
    playbook: Playbooks, options: tuple[str, ...]
) -> None:
    play = playbook("playbooks/destroy.yml", "prod", *options)
    assert play.status != 0
    assert play.count("changed") == 0
    assert "-i inventories/prod -e confirm=prod" in play.message


def test_destroy_does_not_begin_where_the_database_is_protected(
    provisioned: Stack, playbook: Playbooks
) -> None:
    play = playbook("playbooks/destroy.yml", "prod", "-e", "confirm=prod")
    assert play.status != 0
    assert play.count("changed") == 0
    assert "set database_deletion_protection: false in the inventory" in play.message
    rds = provisioned.client("rds", ACCOUNTS["prod"])
    (instance,) = rds.describe_db_instances()["DBInstances"]
    assert instance["DBInstanceStatus"] == "available"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "-i inventories/prod -e confirm=prod"),
        (("-e", "confirm=prod"), "schema-migrations-prod stands: its network (vpc-"),
    ],
    ids=["unasked", "standing"],
)
def test_an_account_is_given_up_on_demand_and_only_without_its_environment(
    provisioned: Stack, playbook: Playbooks, options: tuple[str, ...], said: str
) -> None:
    play = playbook("playbooks/teardown.yml", "prod", *options)
    assert play.status != 0
    assert play.count("changed") == 0
    assert said in play.message


def test_a_network_in_one_zone_is_refused(playbook: Playbooks) -> None:
    subnet = {"zone": "eu-central-1a", "cidr": "10.30.0.0/24"}
    variables = {"network_subnets": [subnet, subnet], "preflight_connection": {}}
    play = playbook("playbooks/network.yml", "local", "-e", json.dumps(variables))
    assert play.status != 0
    assert play.count("changed") == 0
    assert "Add one in another zone to network_subnets of the inventory" in play.message


def test_an_account_of_another_environment_is_refused(
    provisioned: Stack, playbook: Playbooks
) -> None:
    play = playbook("playbooks/bootstrap.yml", "prod", "-e", "env_name=staging")
    assert play.status != 0
    assert play.count("changed") == 0
    assert "account 444455556666 has the environment 'prod' of project" in play.message
    assert (
        "Give 'staging' an account of its own (account_id), or another `project`." in play.message
    )
