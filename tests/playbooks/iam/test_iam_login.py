"""The runner has a user of its own, made by the deployment, and no secret."""

import json

import boto3
import botocore.exceptions
import pytest

from local.stack import Stack
from tests.playbooks.iam.account import ACCOUNT, RUNNER, Deploy, as_administrator
from tests.playbooks.plays import Play


def test_a_second_deployment_changes_nothing(deployed: dict[str, Play], deploy: Deploy) -> None:
    play = deploy("playbooks/runner.yml")
    assert play.status == 0, play.output
    assert play.count("changed") == 0, play.output


def test_the_user_may_migrate_and_no_more(deployed: dict[str, Play], stack: Stack) -> None:
    rows = as_administrator(
        stack,
        """select rolcanlogin, rolsuper, rolcreaterole, rolcreatedb,
                  has_database_privilege(oid, 'app', 'create'),
                  has_schema_privilege(oid, 'public', 'create'),
                  array(select roleid::regrole::text from pg_auth_members where member = r.oid)
           from pg_roles r where rolname = 'migrator'""",
    )
    assert rows == [(True, False, False, False, True, True, ["rds_iam"])]


def test_the_function_has_a_user_instead_of_a_secret(
    deployed: dict[str, Play], stack: Stack
) -> None:
    functions = stack.client("lambda", ACCOUNT)
    live = functions.get_function_configuration(FunctionName=RUNNER, Qualifier="live")
    variables = live["Environment"]["Variables"]
    assert "DATABASE_SECRET_ARN" not in variables
    assert (variables["DATABASE_IAM_AUTH"], variables["PGUSER"]) == ("true", "migrator")


def test_the_functions_role_may_log_in_as_this_user_only(
    deployed: dict[str, Play], stack: Stack
) -> None:
    cluster = stack.client("rds", ACCOUNT).describe_db_clusters()["DBClusters"][0]
    policy = stack.client("iam", ACCOUNT).get_role_policy(RoleName=RUNNER, PolicyName="runner")
    statements = policy["PolicyDocument"]["Statement"]
    (login,) = [s for s in statements if s["Action"] == "rds-db:connect"]
    assert login["Resource"] == (
        f"arn:aws:rds-db:eu-central-1:{ACCOUNT}:dbuser:{cluster['DbClusterResourceId']}/migrator"
    )
    assert "secretsmanager" not in json.dumps(statements)
    assert "kms" not in json.dumps(statements)


def test_the_deploy_role_reads_the_secret_of_its_own_database_only(
    deployed: dict[str, Play], stack: Stack
) -> None:
    other = stack.client("rds", ACCOUNT).create_db_cluster(
        DBClusterIdentifier="other",
        Engine="aurora-postgresql",
        MasterUsername="postgres",
        ManageMasterUserPassword=True,
    )["DBCluster"]
    own = stack.client("rds", ACCOUNT).describe_db_clusters(
        DBClusterIdentifier="schema-migrations-local"
    )["DBClusters"][0]
    keys = stack.client("sts", ACCOUNT).assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/schema-migrations-deploy", RoleSessionName="test"
    )["Credentials"]
    secrets = boto3.client(
        "secretsmanager",
        endpoint_url=stack.environment()["AWS_ENDPOINT_URL"],
        region_name="eu-central-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    assert secrets.get_secret_value(SecretId=own["MasterUserSecret"]["SecretArn"])
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        secrets.get_secret_value(SecretId=other["MasterUserSecret"]["SecretArn"])
    stack.client("rds", ACCOUNT).delete_db_cluster(
        DBClusterIdentifier="other", SkipFinalSnapshot=True
    )


def test_a_user_that_lost_something_gets_it_back(
    deployed: dict[str, Play], deploy: Deploy, stack: Stack
) -> None:
    as_administrator(stack, "revoke create on schema public from migrator")
    check = deploy("playbooks/runner.yml", "--check", "--diff")
    assert check.count("changed") == 1, check.output
    play = deploy("playbooks/runner.yml", "--diff")
    assert play.count("changed") == 1, play.output
    assert "create in the schema public" in play.output
    assert as_administrator(
        stack, "select has_schema_privilege('migrator', 'public', 'create')"
    ) == [(True,)]


def test_the_master_user_is_refused(deployed: dict[str, Play], deploy: Deploy) -> None:
    play = deploy("playbooks/runner.yml", "-e", "runner_user=postgres")
    assert play.status != 0
    assert play.count("changed") == 0
    assert "'postgres' is the master user" in play.message
