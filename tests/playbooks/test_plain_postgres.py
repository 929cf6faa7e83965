"""database_engine: postgres in an inventory: an RDS instance instead of an Aurora cluster."""

import re

import pytest

from local.stack import Stack
from tests.playbooks.plays import PLAIN_ACCOUNT, Play

NAME = "schema-migrations-plain"
RUNS = ("bootstrap", "network", "database", "runner", "migrate")


@pytest.mark.parametrize("run", RUNS)
def test_each_playbook_brings_its_part(plain: dict[str, Play], run: str) -> None:
    assert plain[run].count("changed") > 0


def test_the_lambda_migrates_it(plain: dict[str, Play]) -> None:
    assert re.search(r"done: \d+ migrations", plain["migrate"].message)


def test_a_second_run_changes_nothing(plain: dict[str, Play]) -> None:
    assert plain["database again"].count("changed") == 0, plain["database again"].output


def test_destroy_leaves_nothing(plain: dict[str, Play], stack: Stack) -> None:
    rds = stack.client("rds", PLAIN_ACCOUNT)
    assert plain["destroy"].count("changed") > 0
    assert rds.describe_db_instances()["DBInstances"] == []
    assert rds.describe_db_snapshots()["DBSnapshots"] == []
    assert rds.describe_db_subnet_groups()["DBSubnetGroups"] == []
    groups = rds.describe_db_parameter_groups()["DBParameterGroups"]
    assert NAME not in {group["DBParameterGroupName"] for group in groups}
    assert stack.client("logs", PLAIN_ACCOUNT).describe_log_groups()["logGroups"] == []
    assert stack.client("secretsmanager", PLAIN_ACCOUNT).list_secrets()["SecretList"] == []
    assert stack.client("lambda", PLAIN_ACCOUNT).list_functions()["Functions"] == []


def test_files_are_rehearsed_on_a_copy_before_any_of_them_is_applied(
    plain: dict[str, Play],
) -> None:
    said = plain["rehearse"].message
    assert "4 files took" in said, said
    assert "4 migrations" in plain["migrate"].message, plain["migrate"].message
