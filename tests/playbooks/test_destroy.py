"""What destroy.yml leaves behind."""

import re
from typing import Any

import pytest

from local.stack import Stack
from tests.playbooks.plays import ACCOUNTS, Play, Playbooks

DEV, PROD = ACCOUNTS["dev"], ACCOUNTS["prod"]
UNTOUCHED = "999900001111"


@pytest.mark.parametrize("env", ["dev", "local"])
@pytest.mark.parametrize(
    "kind",
    [
        ("cloudwatch", "describe_alarms", "MetricAlarms"),
        ("codebuild", "list_projects", "projects"),
        ("ec2", "describe_network_interfaces", "NetworkInterfaces"),
        ("ec2", "describe_route_tables", "RouteTables"),
        ("ec2", "describe_security_groups", "SecurityGroups"),
        ("ec2", "describe_subnets", "Subnets"),
        ("ec2", "describe_volumes", "Volumes"),
        ("ec2", "describe_vpc_endpoints", "VpcEndpoints"),
        ("ec2", "describe_vpcs", "Vpcs"),
        ("events", "list_rules", "Rules"),
        ("iam", "list_instance_profiles", "InstanceProfiles"),
        ("lambda", "list_functions", "Functions"),
        ("logs", "describe_log_groups", "logGroups"),
        ("rds", "describe_db_cluster_parameter_groups", "DBClusterParameterGroups"),
        ("rds", "describe_db_cluster_snapshots", "DBClusterSnapshots"),
        ("rds", "describe_db_clusters", "DBClusters"),
        ("rds", "describe_db_instances", "DBInstances"),
        ("rds", "describe_db_subnet_groups", "DBSubnetGroups"),
        ("secretsmanager", "list_secrets", "SecretList"),
        ("sns", "list_subscriptions", "Subscriptions"),
        ("sns", "list_topics", "Topics"),
    ],
    ids=lambda kind: kind[2],
)
def test_destroy_leaves_no_more_than_a_new_account_has(
    destroyed: Play, stack: Stack, env: str, kind: tuple[str, str, str]
) -> None:
    service, operation, key = kind

    def found(account: str) -> list[Any]:
        return getattr(stack.client(service, account), operation)()[key]

    assert len(found(ACCOUNTS[env])) == len(found(UNTOUCHED)), found(ACCOUNTS[env])


@pytest.mark.parametrize("env", ["dev", "local"])
def test_destroy_leaves_no_instance(destroyed: Play, stack: Stack, env: str) -> None:
    reservations = stack.client("ec2", ACCOUNTS[env]).describe_instances()["Reservations"]
    states = {i["State"]["Name"] for r in reservations for i in r["Instances"]}
    assert states <= {"terminated"}


@pytest.mark.parametrize("env", ["dev", "local"])
def test_destroy_leaves_no_pipeline_and_no_repository(
    destroyed: Play, stack: Stack, env: str
) -> None:
    pipelines = stack.client("codepipeline", ACCOUNTS[env]).list_pipelines()["pipelines"]
    repositories = stack.client("codecommit", ACCOUNTS[env])
    assert pipelines == []
    with pytest.raises(repositories.exceptions.RepositoryDoesNotExistException):
        repositories.get_repository(repositoryName="schema-migrations")


def test_destroy_leaves_what_bootstrap_made(destroyed: Play, stack: Stack) -> None:
    found = {r["RoleName"] for r in stack.client("iam", DEV).list_roles()["Roles"]}
    assert {r for r in found if r.startswith("schema-migrations")} == {
        "schema-migrations-deploy",
        "schema-migrations-invoke",
        "schema-migrations-connect",
        "schema-migrations-build-deploy",
        "schema-migrations-build-verify",
        "schema-migrations-build-migrate",
        "schema-migrations-pipeline",
        "schema-migrations-trigger",
    }


def test_destroy_leaves_the_databases_key(destroyed: Play, stack: Stack) -> None:
    kms = stack.client("kms", DEV)
    key = kms.describe_key(KeyId="alias/schema-migrations-dev-database")["KeyMetadata"]
    assert key["KeyState"] == "Enabled"
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]


def test_destroy_waits_for_the_network_interfaces_of_the_function(
    destroyed: Play,
) -> None:
    """Had the role gone before, they would have stayed, and held the network."""
    waited = "FAILED - RETRYING: [dev]: Wait until Lambda has given back its network interfaces"
    assert waited in destroyed.output


def test_destroying_again_changes_nothing(destroyed: Play, playbook: Playbooks) -> None:
    play = playbook("playbooks/destroy.yml", "dev", "-e", "confirm=dev")
    assert play.status == 0, play.output
    assert play.count("changed") == 0, play.output


def test_a_database_that_lost_its_protection_leaves_a_snapshot(
    destroyed: Play, stack: Stack, playbook: Playbooks
) -> None:
    rds, kms = stack.client("rds", PROD), stack.client("kms", PROD)
    unprotected = ("-e", "database_deletion_protection=false")
    for name in ("playbooks/database.yml", "playbooks/destroy.yml"):
        play = playbook(name, "prod", "-e", "confirm=prod", *unprotected)
        assert play.status == 0, play.output
    (snapshot,) = rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]
    name = snapshot["DBClusterSnapshotIdentifier"]
    assert re.fullmatch(r"schema-migrations-prod-final-\d{14}", name)
    assert snapshot["StorageEncrypted"]
    key = kms.describe_key(KeyId="alias/schema-migrations-prod-database")["KeyMetadata"]
    assert (snapshot["KmsKeyId"], key["KeyState"]) == (key["Arn"], "Enabled")
    assert rds.describe_db_clusters()["DBClusters"] == []
