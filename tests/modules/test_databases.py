"""An Aurora cluster and an RDS instance: made, followed, changed, refused and removed alike."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.modules.harness import Module, Outcome

ACCOUNT = "777788889999"
KEY = "alias/shop-database"
KINDS = {
    "aurora_cluster": {"min_capacity": 0, "max_capacity": 2},
    "postgres_instance": {"instance_class": "db.t4g.micro", "storage": 20, "multi_az": False},
}


@dataclass(frozen=True)
class Database:
    """A module with its usual arguments, and RDS's view of what it makes."""

    module: Module
    stack: Stack
    kind: str
    arguments: dict[str, Any]

    def run(self, *, check: bool = False, **changed: Any) -> Outcome:
        """Run the module with some arguments changed."""
        return self.module(self.kind, check=check, **(self.arguments | changed))

    def ensured(self, **changed: Any) -> Outcome:
        """Run the module, which must succeed."""
        outcome = self.run(**changed)
        assert not outcome.failed, outcome.message
        return outcome

    @property
    def cluster(self) -> bool:
        """Whether it is an Aurora cluster."""
        return self.kind == "aurora_cluster"

    @property
    def found(self) -> dict[str, Any]:
        """What RDS says of it."""
        rds, name = self.stack.client("rds", ACCOUNT), self.arguments["name"]
        if self.cluster:
            answer = rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
        else:
            answer = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
        found: dict[str, Any] = answer[0]
        return found

    @property
    def instance(self) -> dict[str, Any]:
        """What RDS says of the instance: the cluster's one, or the database itself."""
        name = self.arguments["name"] + ("-1" if self.cluster else "")
        rds = self.stack.client("rds", ACCOUNT)
        found: dict[str, Any] = rds.describe_db_instances(DBInstanceIdentifier=name)
        return dict(found["DBInstances"][0])

    def upgrade(self, version: str) -> None:
        """Upgrade it as AWS does in a maintenance window."""
        rds, name = self.stack.client("rds", ACCOUNT), self.arguments["name"]
        request = {"EngineVersion": version, "ApplyImmediately": True}
        if self.cluster:
            rds.modify_db_cluster(DBClusterIdentifier=name, **request)
        else:
            rds.modify_db_instance(DBInstanceIdentifier=name, **request)


@pytest.fixture(scope="module")
def account() -> str:
    """Give these tests an account of their own."""
    return ACCOUNT


@pytest.fixture(scope="module")
def surroundings(stack: Stack) -> dict[str, Any]:
    """What a database stands on: a key, a subnet group, a security group."""
    kms, ec2 = stack.client("kms", ACCOUNT), stack.client("ec2", ACCOUNT)
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=KEY, TargetKeyId=arn)
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]]
    stack.client("rds", ACCOUNT).create_db_subnet_group(
        DBSubnetGroupName="shop", DBSubnetGroupDescription="all of them", SubnetIds=subnets
    )
    groups = ec2.describe_security_groups()["SecurityGroups"]
    return {
        "engine_version": "17.7",
        "database": "shop",
        "kms_key": KEY,
        "subnet_group": "shop",
        "security_groups": [groups[0]["GroupId"]],
        "deletion_protection": False,
        "backup_days": 1,
    }


@pytest.fixture(scope="module", params=KINDS)
def database(
    request: pytest.FixtureRequest, module: Module, stack: Stack, surroundings: dict[str, Any]
) -> Iterator[Database]:
    """Make a database of each kind, and remove it when all tests have looked at it."""
    name = f"shop-{request.param.partition('_')[0]}"
    arguments = surroundings | KINDS[request.param] | {"name": name}
    made = Database(module, stack, request.param, arguments)
    assert made.ensured().changed
    yield made
    made.ensured(state="absent")


@pytest.fixture(params=KINDS)
def unmade(
    request: pytest.FixtureRequest, module: Module, stack: Stack, surroundings: dict[str, Any]
) -> Database:
    """Describe a database of each kind that does not exist."""
    arguments = surroundings | KINDS[request.param] | {"name": "never"}
    return Database(module, stack, request.param, arguments)


def parameter_groups(stack: Stack) -> list[str]:
    """Return the names of all parameter groups called `never`: the first thing a run makes."""
    rds = stack.client("rds", ACCOUNT)
    found = rds.describe_db_parameter_groups()["DBParameterGroups"]
    clusters = rds.describe_db_cluster_parameter_groups()["DBClusterParameterGroups"]
    names = [g["DBParameterGroupName"] for g in found]
    names += [g["DBClusterParameterGroupName"] for g in clusters]
    return [name for name in names if name == "never"]


def test_a_second_run_changes_nothing(database: Database) -> None:
    assert not database.ensured().changed


def test_it_has_the_guarantees(database: Database) -> None:
    found, key = database.found, database.stack.client("kms", ACCOUNT).describe_key(KeyId=KEY)
    arn = key["KeyMetadata"]["Arn"]
    assert found["StorageEncrypted"]
    assert (found["KmsKeyId"], found["MasterUserSecret"]["KmsKeyId"]) == (arn, arn)
    assert found["IAMDatabaseAuthenticationEnabled"]
    assert found["EnabledCloudwatchLogsExports"] == ["postgresql"]
    assert found["CopyTagsToSnapshot"]
    assert not database.instance["PubliclyAccessible"]


def test_what_restarts_the_database_waits_for_its_window(database: Database) -> None:
    running = database.found["EngineVersion"]
    newer = "17.9"
    outcome = database.ensured(engine_version=newer)
    assert outcome.changed
    assert "changes in the maintenance window" in outcome.warnings[0]
    assert database.found["EngineVersion"] == running
    assert database.found["PendingModifiedValues"]["EngineVersion"] == newer
    assert not database.ensured(engine_version=newer).changed
    assert database.ensured(engine_version=newer, backup_days=2).changed
    assert database.found["EngineVersion"] == running
    assert database.ensured(engine_version=newer, apply="now").changed
    assert database.found["EngineVersion"] == newer


def test_a_minor_version_that_aws_raised_stays(database: Database) -> None:
    database.upgrade("17.9")
    assert not database.ensured().changed
    assert database.found["EngineVersion"] == "17.9"


def test_a_newer_minor_version_in_the_inventory_is_an_upgrade(database: Database) -> None:
    outcome = database.ensured(engine_version="17.10", apply="now")
    kind = "cluster" if database.cluster else "instance"
    assert outcome.difference(kind)[1] == {"EngineVersion": "17.10"}
    assert database.found["EngineVersion"] == "17.10"
    assert not database.ensured(engine_version="17.10").changed


def test_a_major_upgrade_is_refused(database: Database) -> None:
    outcome = database.run(engine_version="18.3")
    assert "A major upgrade needs a plan of its own" in outcome.message
    assert database.found["EngineVersion"].startswith("17.")


def test_performance_insights_is_turned_on_and_off_again(database: Database) -> None:
    assert database.ensured(performance_insights=True).changed
    assert not database.ensured(performance_insights=True).changed
    for found in (database.found, database.instance):
        assert found["PerformanceInsightsEnabled"]
        assert found["PerformanceInsightsKMSKeyId"] == database.found["KmsKeyId"]
        assert found["PerformanceInsightsRetentionPeriod"] == 7
        assert found["DatabaseInsightsMode"] == "standard"
    assert database.ensured().changed
    assert not database.found["PerformanceInsightsEnabled"]
    assert not database.instance["PerformanceInsightsEnabled"]


def test_logs_are_exported_as_listed(database: Database) -> None:
    logs = ["iam-db-auth-error", "postgresql"]
    assert database.ensured(log_exports=logs).changed
    assert database.found["EnabledCloudwatchLogsExports"] == logs
    assert database.ensured().changed
    assert database.found["EnabledCloudwatchLogsExports"] == ["postgresql"]


def test_days_between_rotations_are_kept(database: Database) -> None:
    secrets = database.stack.client("secretsmanager", ACCOUNT)
    assert database.ensured(rotation_days=30).changed
    secret = secrets.describe_secret(SecretId=database.found["MasterUserSecret"]["SecretArn"])
    assert secret["RotationRules"]["AutomaticallyAfterDays"] == 30
    assert database.ensured().changed


@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_a_protected_database_is_not_touched(database: Database, check: bool) -> None:
    assert database.ensured(deletion_protection=True).changed
    outcome = database.run(check=check, state="absent")
    assert outcome.failed
    assert "set database_deletion_protection: false in the inventory" in outcome.message
    assert "playbooks/database.yml" in outcome.message
    assert database.instance["DBInstanceStatus"] == "available"
    assert database.ensured().changed


def test_check_mode_removes_nothing(database: Database) -> None:
    assert database.run(check=True, state="absent").changed
    assert database.instance["DBInstanceStatus"] == "available"


def test_a_version_that_is_not_offered_is_refused_with_those_that_are(unmade: Database) -> None:
    outcome = unmade.run(engine_version="16.99")
    assert outcome.failed
    assert "database_engine_version" in outcome.message
    assert outcome.message.endswith("16.8, 16.9, 16.10, 16.11, 16.13, 16.14.")
    assert parameter_groups(unmade.stack) == []


@pytest.mark.parametrize("version", ["17", "latest", "17.7-limitless"])
def test_a_malformed_version_is_refused(unmade: Database, version: str) -> None:
    assert f"{version} is no version" in unmade.run(engine_version=version).message


def test_everything_aws_would_refuse_is_told_at_once(unmade: Database) -> None:
    outcome = unmade.run(name="Never-", database="1st", backup_days=0, rotation_days=0)
    for part in ("Never-", "database_database 1st", "backup_days 0", "rotation_days 0"):
        assert part in outcome.message


def test_a_missing_key_is_refused_with_what_makes_it(unmade: Database) -> None:
    outcome = unmade.run(kms_key="alias/never")
    assert "alias/never is needed, and it is missing" in outcome.message
    assert "playbooks/bootstrap.yml" in outcome.message
    assert parameter_groups(unmade.stack) == []


@pytest.mark.parametrize(
    ("capacity", "problem"),
    [
        ({"min_capacity": 0.7}, "min_capacity 0.7 is not 0 to 256 in steps of 0.5"),
        ({"max_capacity": 257}, "max_capacity 257 is not 0 to 256 in steps of 0.5"),
        ({"min_capacity": 3}, "max_capacity 2 is less than 1 or than database_min_capacity"),
        ({"pause_after": 299}, "pause_after 299 is not 300 to 86400 seconds"),
        ({"engine_version": "15.6"}, "15.6 is not offered"),
        ({"engine_version": "13.9"}, "13.9 cannot pause: set database_min_capacity to 0.5"),
    ],
)
def test_a_capacity_that_aws_refuses_is_refused(
    module: Module, surroundings: dict[str, Any], capacity: dict[str, Any], problem: str
) -> None:
    arguments = surroundings | KINDS["aurora_cluster"] | {"name": "never"} | capacity
    assert problem in module("aurora_cluster", **arguments).message


def test_a_special_edition_is_not_offered_as_a_version(unmade: Database) -> None:
    assert "limitless" not in unmade.run(engine_version="16.99").message


@pytest.mark.parametrize("kind", KINDS)
def test_a_last_snapshot_is_left_with_the_key_and_the_tags(
    module: Module, stack: Stack, surroundings: dict[str, Any], kind: str
) -> None:
    name = f"last-{kind.partition('_')[0]}"
    arguments = surroundings | KINDS[kind] | {"name": name, "tags": {"Project": "shop"}}
    last = Database(module, stack, kind, arguments)
    last.ensured()
    key = last.found["KmsKeyId"]
    last.ensured(state="absent", final_snapshot=f"{name}-final")
    rds = stack.client("rds", ACCOUNT)
    if last.cluster:
        (snapshot,) = rds.describe_db_cluster_snapshots(
            DBClusterSnapshotIdentifier=f"{name}-final"
        )["DBClusterSnapshots"]
        assert snapshot["StorageEncrypted"]
    else:
        (snapshot,) = rds.describe_db_snapshots(DBSnapshotIdentifier=f"{name}-final")["DBSnapshots"]
        assert snapshot["Encrypted"]
    assert snapshot["KmsKeyId"] == key
    assert snapshot["TagList"] == [{"Key": "Project", "Value": "shop"}]
    with pytest.raises(botocore.exceptions.ClientError, match="not found"):
        assert last.found


@pytest.mark.parametrize("database", ["postgres_instance"], indirect=True)
def test_storage_that_aws_made_larger_stays(database: Database) -> None:
    rds = database.stack.client("rds", ACCOUNT)
    rds.modify_db_instance(
        DBInstanceIdentifier=database.arguments["name"], AllocatedStorage=22, ApplyImmediately=True
    )
    assert not database.ensured(storage=21).changed


@pytest.mark.parametrize("database", ["postgres_instance"], indirect=True)
def test_an_instance_gets_the_size_of_the_inventory(database: Database) -> None:
    sizes = {"storage": 30, "instance_class": "db.t4g.small", "multi_az": True}
    assert database.ensured(**sizes, apply="now").changed
    found = database.found
    assert (found["AllocatedStorage"], found["DBInstanceClass"]) == (30, "db.t4g.small")
    assert found["MultiAZ"]
