"""What destroy.yml leaves behind."""

import re

import pytest

from local.stack import Stack
from tests.playbooks.leftovers import KINDS, count
from tests.playbooks.plays import ACCOUNTS, Play, Playbooks

DEV, PROD = ACCOUNTS["dev"], ACCOUNTS["prod"]


@pytest.mark.parametrize("env", ["dev", "local"])
@pytest.mark.parametrize("kind", [*(key for _, _, key in KINDS), "Instances"])
def test_destroy_leaves_no_more_than_there_was(
    before: dict[str, dict[str, int]], destroyed: Play, stack: Stack, env: str, kind: str
) -> None:
    assert count(stack, ACCOUNTS[env])[kind] == before[env][kind]


@pytest.mark.parametrize("env", ["dev", "local"])
def test_destroy_leaves_no_pipeline(destroyed: Play, stack: Stack, env: str) -> None:
    pipelines = stack.client("codepipeline", ACCOUNTS[env]).list_pipelines()["pipelines"]
    assert not [p["name"] for p in pipelines if p["name"].startswith("schema-migrations")]


def test_destroy_leaves_the_repository_unless_told_otherwise(destroyed: Play, stack: Stack) -> None:
    name = {"repositoryName": "schema-migrations"}
    assert stack.client("codecommit", ACCOUNTS["local"]).get_repository(**name)
    told = stack.client("codecommit", DEV)
    with pytest.raises(told.exceptions.RepositoryDoesNotExistException):
        told.get_repository(**name)


def test_destroy_leaves_what_bootstrap_made(destroyed: Play, stack: Stack) -> None:
    found = {r["RoleName"] for r in stack.client("iam", DEV).list_roles()["Roles"]}
    assert {r for r in found if r.startswith("schema-migrations")} == {
        "schema-migrations-deploy",
        "schema-migrations-destroy",
        "schema-migrations-look",
        "schema-migrations-invoke-read",
        "schema-migrations-invoke-live",
        "schema-migrations-invoke-admin",
        "schema-migrations-connect",
        "schema-migrations-build-check",
        "schema-migrations-build-compare",
        "schema-migrations-build-deploy-dev",
        "schema-migrations-build-migrate-dev",
        "schema-migrations-build-look-prod",
        "schema-migrations-build-plan-prod",
        "schema-migrations-build-deploy-prod",
        "schema-migrations-build-migrate-prod",
        "schema-migrations-build-update",
        "schema-migrations-definition",
        "schema-migrations-pipeline",
        "schema-migrations-pipeline-operator",
        "schema-migrations-pipeline-reader",
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
    waited = "FAILED - RETRYING: [dev]: Wait until Lambda has given back their network interfaces"
    assert waited in destroyed.output


def test_destroying_again_changes_nothing(destroyed: Play, playbook: Playbooks) -> None:
    play = playbook("playbooks/destroy.yml", "dev", "-e", "confirm=dev")
    assert play.status == 0, play.output
    assert play.count("changed") == 0, play.output


def test_a_database_that_lost_its_protection_leaves_a_snapshot(
    unprotected: dict[str, Play], stack: Stack
) -> None:
    rds, kms = stack.client("rds", PROD), stack.client("kms", PROD)
    (snapshot,) = rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]
    name = snapshot["DBClusterSnapshotIdentifier"]
    assert re.fullmatch(r"schema-migrations-prod-final-\d{14}", name)
    assert snapshot["StorageEncrypted"]
    key = kms.describe_key(KeyId="alias/schema-migrations-prod-database")["KeyMetadata"]
    assert (snapshot["KmsKeyId"], key["KeyState"]) == (key["Arn"], "Enabled")
    assert rds.describe_db_clusters()["DBClusters"] == []
