"""database_engine: postgres in an inventory: an RDS instance instead of an Aurora cluster."""

import re
import shutil

import pytest

from local.stack import Stack
from tests.playbooks.plays import ROOT, Play, Playbooks

ACCOUNT = "222233334444"
NAME = "schema-migrations-plain"
RUNS = ("bootstrap", "network", "database", "runner", "migrate")
PLAIN = """
database_engine: postgres
database_instance_class: db.t4g.micro
database_storage: 20
database_multi_az: false
"""


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Copy the local inventory for an account of its own, with another engine."""
    folder = tmp_path_factory.mktemp("inventory") / "plain"
    shutil.copytree(ROOT / "inventories/local", folder)
    (folder / "hosts.yml").write_text("aws: {hosts: {plain: }}\n")
    variables = folder / "group_vars/aws.yml"
    given = variables.read_text().replace("000000000000", ACCOUNT)
    lines = [line for line in given.splitlines() if "_capacity" not in line]
    variables.write_text("\n".join(lines) + PLAIN)
    return str(folder)


@pytest.fixture(scope="module")
def plays(playbook: Playbooks, inventory: str) -> dict[str, Play]:
    """Provision and migrate, look again, and destroy."""
    done = {}
    for name in (*RUNS, "database again", "destroy"):
        play = done[name] = playbook(
            f"playbooks/{name.partition(' ')[0]}.yml",
            "local",
            *("-e", "confirm=plain"),
            inventory=inventory,
            AWS_ACCESS_KEY_ID=ACCOUNT,
            RECORD_ENVIRONMENT="plain",
        )
        assert play.status == 0, play.output
    return done


@pytest.mark.parametrize("run", RUNS)
def test_each_playbook_brings_its_part(plays: dict[str, Play], run: str) -> None:
    assert plays[run].count("changed") > 0


def test_the_lambda_migrates_it(plays: dict[str, Play]) -> None:
    assert re.search(r"done: \d+ migrations", plays["migrate"].message)


def test_a_second_run_changes_nothing(plays: dict[str, Play]) -> None:
    assert plays["database again"].count("changed") == 0, plays["database again"].output


def test_destroy_leaves_nothing(plays: dict[str, Play], stack: Stack) -> None:
    rds = stack.client("rds", ACCOUNT)
    assert plays["destroy"].count("changed") > 0
    assert rds.describe_db_instances()["DBInstances"] == []
    assert rds.describe_db_snapshots()["DBSnapshots"] == []
    assert rds.describe_db_subnet_groups()["DBSubnetGroups"] == []
    groups = rds.describe_db_parameter_groups()["DBParameterGroups"]
    assert NAME not in {group["DBParameterGroupName"] for group in groups}
    assert stack.client("logs", ACCOUNT).describe_log_groups()["logGroups"] == []
    assert stack.client("secretsmanager", ACCOUNT).list_secrets()["SecretList"] == []
    assert stack.client("lambda", ACCOUNT).list_functions()["Functions"] == []
