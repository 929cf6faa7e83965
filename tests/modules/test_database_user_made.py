"""The module against a database behind an emulated cluster: who it makes, and who is not bound."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Stack
from tests import aws
from tests.modules.harness import Module, Outcome

ACCOUNT = "919191919191"


class Cluster:
    """A cluster with a Data API, its master user's sessions, and the module's arguments for it."""

    def __init__(self, stack: Stack, module: Module) -> None:
        self.stack, self.module = stack, module
        self.rds = stack.client("rds", ACCOUNT)
        self.made: dict[str, Any] = self.rds.create_db_cluster(
            DBClusterIdentifier="users",
            Engine="aurora-postgresql",
            EngineVersion="17.7",
            MasterUsername="postgres",
            ManageMasterUserPassword=True,
            DatabaseName="shop",
            EnableIAMDatabaseAuthentication=True,
            EnableHttpEndpoint=True,
        )["DBCluster"]
        self.rds.create_db_instance(
            DBInstanceIdentifier="users-1",
            DBClusterIdentifier="users",
            DBInstanceClass="db.serverless",
            Engine="aurora-postgresql",
        )

    def ensure(self, name: str = "migrator", *, check: bool = False) -> Outcome:
        """Run the module."""
        arguments = {
            "name": name,
            "cluster_arn": self.made["DBClusterArn"],
            "secret_arn": self.made["MasterUserSecret"]["SecretArn"],
            "database": "shop",
        }
        return self.module("database_user", check=check, **arguments)

    def as_master(self, *statements: str) -> list[tuple[Any, ...]]:
        """Log in with the master user's password, run statements, return the last one's rows."""
        return aws.as_master(self.stack, ACCOUNT, self.made, "shop", *statements)


@pytest.fixture(scope="module")
def account() -> str:
    """Give these tests an account of their own."""
    return ACCOUNT


@pytest.fixture
def cluster(stack: Stack, module: Module) -> Iterator[Cluster]:
    """Make a cluster, and remove it after the test."""
    made = Cluster(stack, module)
    yield made
    made.rds.delete_db_instance(DBInstanceIdentifier="users-1", SkipFinalSnapshot=True)
    made.rds.delete_db_cluster(DBClusterIdentifier="users", SkipFinalSnapshot=True)


def test_the_master_user_makes_a_user_and_keeps_its_password(cluster: Cluster) -> None:
    assert cluster.ensure(check=True).changed
    outcome = cluster.ensure()
    assert outcome.changed, outcome.message
    assert cluster.as_master("select pg_has_role(current_user, 'migrator', 'member')") == [(False,)]
    roles = "select rolname from pg_roles where rolname !~ '^(pg_|rds)' order by 1"
    assert cluster.as_master(roles) == [("migrator",), ("postgres",)]
    assert not cluster.ensure().changed


def test_a_master_user_that_is_bound_is_told_by_whom(cluster: Cluster) -> None:
    cluster.as_master("create role migrator login")
    outcome = cluster.ensure()
    assert "The master user is a member of migrator:" in outcome.message
    cluster.as_master("drop role migrator")
    assert cluster.ensure().changed


def test_what_the_master_user_migrated_is_handed_over(cluster: Cluster) -> None:
    cluster.as_master("create table public.schema_version ()")
    (hand_over,) = re.findall("begin; .*? commit;", cluster.ensure().message)
    cluster.as_master(hand_over)
    owner = "select tableowner from pg_tables where tablename = 'schema_version'"
    assert cluster.as_master(owner) == [("migrator",)]
    outcome = cluster.ensure()
    assert outcome.changed, outcome.message
    assert not cluster.ensure().changed
    assert cluster.as_master("select pg_has_role(current_user, 'migrator', 'member')") == [(False,)]
