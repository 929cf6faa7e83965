"""An operator's migration through the Lambda, which logs in with a token."""

import re
import shutil
from pathlib import Path
from typing import Any

from local.stack import Stack
from tests import aws
from tests.playbooks.iam.account import ACCOUNT, RUNNER, Deploy, as_administrator
from tests.playbooks.plays import ROOT, Play

APPLIED = "select count(*) from schema_version"


def as_master(stack: Stack, statement: str) -> Any:
    """Run a statement as the master user, logged in with the secret; return its rows."""
    cluster = stack.client("rds", ACCOUNT).describe_db_clusters()["DBClusters"][0]
    return aws.as_master(stack, ACCOUNT, cluster, "app", statement)


def test_check_mode_shows_the_plan_and_applies_nothing(
    deployed: dict[str, Play], deploy: Deploy, stack: Stack
) -> None:
    play = deploy("playbooks/migrate.yml", "--check")
    assert play.status == 0, play.output
    assert play.count("changed") == 1
    assert "create table" in play.output
    assert as_administrator(stack, "select to_regclass('schema_version')") == [(None,)]


def test_an_inactive_function_is_woken_and_migrates(
    deployed: dict[str, Play], deploy: Deploy, stack: Stack
) -> None:
    functions = stack.client("lambda", ACCOUNT)
    arn = functions.get_function_configuration(FunctionName=RUNNER)["FunctionArn"]
    functions.tag_resource(Resource=arn, Tags={"local:State": "Inactive"})
    play = deploy("playbooks/migrate.yml")
    assert play.status == 0, play.output
    assert play.count("changed") == 1, play.output
    owners = "select distinct tableowner from pg_tables where schemaname = 'public'"
    assert as_administrator(stack, owners) == [("migrator",)]


def test_a_second_migration_changes_nothing(
    deployed: dict[str, Play], deploy: Deploy, stack: Stack
) -> None:
    before = as_administrator(stack, APPLIED)
    play = deploy("playbooks/migrate.yml")
    assert play.status == 0, play.output
    assert play.count("changed") == 0, play.output
    assert as_administrator(stack, APPLIED) == before


def test_a_failing_migration_fails_the_play_in_the_runners_words(
    deployed: dict[str, Play], deploy: Deploy, stack: Stack, tmp_path: Path
) -> None:
    for folder in ("runner", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / ".cache").symlink_to(ROOT / ".cache")
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (tmp_path / "sql/V900__fail.sql").write_text("select 1;\nselect nothing;\n")
    package = ("-e", f"runner_source={tmp_path}", "-e", f"runner_package={tmp_path}/runner.zip")
    assert deploy("playbooks/runner.yml", *package).status == 0
    play = deploy("playbooks/migrate.yml")
    deploy("playbooks/runner.yml")
    assert play.status != 0
    assert play.count("changed") == 0
    assert 'column "nothing" does not exist' in play.message
    assert "sql/V900__fail.sql:2:8" in play.message
    assert as_administrator(stack, f"{APPLIED} where version = '900'") == [(0,)]


def test_what_the_master_user_migrated_is_handed_over_as_told(
    deployed: dict[str, Play], deploy: Deploy, stack: Stack
) -> None:
    as_administrator(stack, "alter table schema_version owner to postgres")
    refused = deploy("playbooks/runner.yml", "--check")
    assert refused.status != 0
    assert "Name a user that does not exist" in refused.message
    other = ("-e", "runner_user=successor")
    refused = deploy("playbooks/runner.yml", "--check", *other)
    assert refused.status != 0
    (hand_over,) = set(re.findall("begin; .*? commit;", refused.message))  # Ansible says it twice
    as_master(stack, hand_over)
    owners = "select tableowner from pg_tables where tablename = 'schema_version'"
    assert as_administrator(stack, owners) == [("successor",)]
    assert deploy("playbooks/runner.yml", *other).status == 0
    assert as_master(stack, "select current_user") == [("postgres",)]
