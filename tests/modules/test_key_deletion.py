"""A key goes after a while, unless it opens a database or a snapshot of one."""

from typing import Any

import pytest

from local.stack import Stack
from tests.modules.harness import Module

ACCOUNT = "999900003333"


@pytest.fixture(scope="module")
def account() -> str:
    """Give these tests an account of their own."""
    return ACCOUNT


@pytest.fixture
def key(stack: Stack, request: pytest.FixtureRequest) -> tuple[str, Any]:
    """Make a key; give its alias and a look at it."""
    kms, alias = stack.client("kms", ACCOUNT), f"alias/{request.node.name[:40].strip('[]')}"
    made = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=alias, TargetKeyId=made)
    return alias, lambda: kms.describe_key(KeyId=made)["KeyMetadata"]


def test_a_key_that_opens_nothing_goes_and_is_left_alone_then(
    module: Module, key: tuple[str, Any]
) -> None:
    alias, look = key
    assert module("key_deletion", check=True, alias=alias).changed
    assert look()["KeyState"] == "Enabled"
    done = module("key_deletion", alias=alias, days=7)
    assert (done.changed, done["stays"]) == (True, False)
    assert done.difference("state") == ("Enabled", "PendingDeletion")
    assert look()["KeyState"] == "PendingDeletion"
    assert not module("key_deletion", alias=alias).changed


def test_no_key_is_no_work(module: Module) -> None:
    done = module("key_deletion", alias="alias/nobody-made-it")
    assert (done.changed, done["stays"]) == (False, False)


def test_a_key_stays_for_a_database_and_until_told_otherwise_for_a_snapshot(
    module: Module, stack: Stack, key: tuple[str, Any]
) -> None:
    alias, look = key
    rds, name = stack.client("rds", ACCOUNT), {"DBClusterIdentifier": "kept"}
    rds.create_db_cluster(
        **name,
        Engine="aurora-postgresql",
        MasterUsername="postgres",
        MasterUserPassword="long enough",
        StorageEncrypted=True,
        KmsKeyId=look()["Arn"],
    )
    rds.create_db_cluster_snapshot(**name, DBClusterSnapshotIdentifier="last")
    done = module("key_deletion", alias=alias, snapshots_go=True)
    assert (done["stays"], done["databases"], done["snapshots"]) == (True, ["kept"], ["last"])
    rds.delete_db_cluster(**name, SkipFinalSnapshot=True)
    done = module("key_deletion", alias=alias)
    assert (done.changed, done["stays"], done["snapshots"]) == (False, True, ["last"])
    assert look()["KeyState"] == "Enabled"
    assert not module("key_deletion", alias=alias, snapshots_go=True)["stays"]
    assert look()["KeyState"] == "PendingDeletion"
