"""What destroy.yml leaves behind."""

from local.stack import Stack
from tests.playbooks.plays import ACCOUNTS, Play, Playbooks

DEV = ACCOUNTS["dev"]


def test_destroy_leaves_nothing_of_the_environment(destroyed: Play, stack: Stack) -> None:
    ec2, rds = stack.client("ec2", DEV), stack.client("rds", DEV)
    reservations = ec2.describe_instances()["Reservations"]
    assert [v for v in ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"]] == []
    assert {i["State"]["Name"] for r in reservations for i in r["Instances"]} <= {"terminated"}
    assert rds.describe_db_clusters()["DBClusters"] == []
    assert rds.describe_db_instances()["DBInstances"] == []
    assert rds.describe_db_subnet_groups()["DBSubnetGroups"] == []
    assert stack.client("lambda", DEV).list_functions()["Functions"] == []
    assert stack.client("cloudwatch", DEV).describe_alarms()["MetricAlarms"] == []
    assert stack.client("sns", DEV).list_topics()["Topics"] == []
    assert stack.client("logs", DEV).describe_log_groups()["logGroups"] == []
    assert stack.client("secretsmanager", DEV).list_secrets()["SecretList"] == []
    assert stack.client("codebuild", DEV).list_projects()["projects"] == []
    assert stack.client("codepipeline", DEV).list_pipelines()["pipelines"] == []


def test_destroy_leaves_what_bootstrap_made(destroyed: Play, stack: Stack) -> None:
    found = {r["RoleName"] for r in stack.client("iam", DEV).list_roles()["Roles"]}
    assert {r for r in found if r.startswith("schema-migrations")} == {
        "schema-migrations-deploy",
        "schema-migrations-invoke",
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


def test_destroying_again_changes_nothing(destroyed: Play, playbook: Playbooks) -> None:
    play = playbook("playbooks/destroy.yml", "dev", "-e", "confirm=dev")
    assert play.status == 0, play.output
    assert play.count("changed") == 0, play.output
