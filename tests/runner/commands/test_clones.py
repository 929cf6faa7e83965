"""A rehearsal's copy on AWS is there for as long as it is needed, and takes what its role may."""

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore import xform_name
from botocore.exceptions import WaiterError
from botocore.history import BaseHistoryHandler, get_global_history_recorder

from local.stack import Stack
from runner import cli
from runner.commands import clones
from runner.commands.clones import Rehearsed, cloned
from runner.errors import CODES, Unreachable
from tests.aws import REGION, package_of_runner, run, trusting
from tests.local.known import until_known
from tests.policies.rendered import ROOT, rendered

ACCOUNT, NAME = "111122223333", "schema-migrations-dev"
# What is granted although no request needs it here, and why.
STATED = {
    "rds:AddTagsToResource": "AWS asks for it when a database is made with tags",
    "rds:ListTagsForResource": "without it AWS may leave the tags out of what it describes",
    "secretsmanager:CreateSecret": "RDS makes a copy's secret in the caller's name",
    "secretsmanager:TagResource": "the same",
    "kms:DescribeKey": "the same, with the key",
    "kms:Decrypt": "the same",
    "kms:GenerateDataKey": "the same",
    "kms:CreateGrant": "the same",
    "lambda:InvokeFunction": "calls the function that rehearses: tests/pipeline",
    "lambda:GetFunctionConfiguration": "asks it what it rehearses for",
    "rds:ModifyDBInstance": "AWS asks for it when a cluster is changed, whose instance changes too",
    "rds:RestoreDBInstanceToPointInTime": "of an instance, which a test above restores",
    "s3:PutObject": "sends files that are too large for an event",
}


class Requests(BaseHistoryHandler):  # type: ignore[misc]
    """What boto3's clients of this process ask for."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}

    def emit(self, event_type: str, payload: Any, source: str) -> None:  # noqa: ARG002
        if event_type == "API_CALL" and payload["service"] == "rds":
            self.made[payload["operation"]] = payload["params"]


@dataclass
class Production:
    """A cluster or an instance, and somebody who acts as the role of rehearsals."""

    stack: Stack
    of: Rehearsed
    policy: dict[str, Any]
    said: list[str] = field(default_factory=list)

    @property
    def rds(self) -> Any:
        return self.stack.client("rds", ACCOUNT)

    def names(self) -> set[str]:
        """Return the identifiers of all clusters and instances of the account."""
        clusters = self.rds.describe_db_clusters()["DBClusters"]
        instances = self.rds.describe_db_instances()["DBInstances"]
        return {c["DBClusterIdentifier"] for c in clusters} | {
            i["DBInstanceIdentifier"] for i in instances
        }

    def asked(self, host: str, port: int, secret_arn: str | None, *sql: str) -> list[Any]:
        """Return what a database answers to whom its secret says."""
        secrets = self.stack.client("secretsmanager", ACCOUNT)
        secret = json.loads(secrets.get_secret_value(SecretId=secret_arn)["SecretString"])
        return run(
            *sql, host=host, port=port, dbname="app", user="postgres", password=secret["password"]
        )


def _policy(key: str, prefix: str) -> dict[str, Any]:
    """Return the policy of the role that rehearses for one environment."""
    template = ROOT / "roles/account/templates/invoke.yml.j2"
    found = rendered(
        template, "dev", item="rehearse", account_prefix=prefix, account_database_key_arn=key
    )
    return {"Version": "2012-10-17", "Statement": list(found.statements)}


def _role(stack: Stack, name: str, policy: dict[str, Any]) -> dict[str, str]:
    """Return what makes this process act as a role with a policy."""
    iam = stack.client("iam", ACCOUNT)
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    trust = [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]
    document = {"Version": "2012-10-17", "Statement": trust}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(policy))
    keys = until_known(
        stack.client("sts", ACCOUNT).assume_role,
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}",
        RoleSessionName="rehearsal",
    )["Credentials"]
    return {
        **stack.environment(ACCOUNT),
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }


@pytest.fixture(scope="module")
def production(stack: Stack) -> Iterator[Production]:
    """Make a cluster with an instance, and the role; rehearsals act as that."""
    ec2, rds = stack.client("ec2", ACCOUNT), stack.client("rds", ACCOUNT)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/22")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")
        for n, zone in enumerate("ab")
    ]
    ids = [subnet["Subnet"]["SubnetId"] for subnet in subnets]
    group = ec2.create_security_group(GroupName="copy", Description="d", VpcId=vpc)["GroupId"]
    key = stack.client("kms", ACCOUNT).create_key()["KeyMetadata"]["Arn"]
    rds.create_db_subnet_group(DBSubnetGroupName=NAME, DBSubnetGroupDescription="d", SubnetIds=ids)
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=NAME, DBParameterGroupFamily="aurora-postgresql17",
        Description="d",
    )  # fmt: skip
    cluster = rds.create_db_cluster(
        DBClusterIdentifier=NAME, Engine="aurora-postgresql", EngineVersion="17.7",
        DatabaseName="app", MasterUsername="postgres", ManageMasterUserPassword=True,
        DBSubnetGroupName=NAME, DBClusterParameterGroupName=NAME, KmsKeyId=key,
        ServerlessV2ScalingConfiguration={"MinCapacity": 0, "MaxCapacity": 2},
        Tags=[{"Key": "Environment", "Value": "dev"}], DeletionProtection=True,
    )["DBCluster"]  # fmt: skip
    rds.create_db_instance(
        DBInstanceIdentifier=f"{NAME}-1", DBClusterIdentifier=NAME, DBInstanceClass="db.serverless",
        Engine="aurora-postgresql",
    )  # fmt: skip
    policy = _policy(key, NAME)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in _role(stack, "rehearses", policy).items():
            environment.setenv(name, value)
        made = Production(stack, Rehearsed(cluster["DBClusterArn"], group, key, iam=False), policy)
        made.asked(
            cluster["Endpoint"], cluster["Port"], cluster["MasterUserSecret"]["SecretArn"],
            "create table customer as select generate_series(1, 7) as id",
            "grant select on customer to public",
        )  # fmt: skip
        yield made
    rds.modify_db_cluster(DBClusterIdentifier=NAME, DeletionProtection=False)
    rds.delete_db_instance(DBInstanceIdentifier=f"{NAME}-1", SkipFinalSnapshot=True)
    rds.delete_db_cluster(DBClusterIdentifier=NAME, SkipFinalSnapshot=True)


def test_a_clone_has_the_rows_says_when_it_ends_and_goes_when_what_ran_on_it_fails(
    production: Production,
) -> None:
    with (  # noqa: PT012
        pytest.raises(RuntimeError, match="as files do"),
        cloned(production.of, production.said.append) as copy,
    ):
        assert production.asked(*copy, "select count(*) from customer") == [(7,)]
        (name,) = {n for n in production.names() if "-rehearsal-" in n and not n.endswith("-1")}
        made = production.rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
        raise RuntimeError("as files do")
    assert made["VpcSecurityGroups"][0]["VpcSecurityGroupId"] == production.of.group
    assert (made["DeletionProtection"], made["DBSubnetGroup"]) == (False, NAME)
    assert made["ServerlessV2ScalingConfiguration"]["MinCapacity"] == 0.5
    assert {tag["Key"] for tag in made["TagList"]} == {"Environment", "ExpiresAt"}
    assert production.names() == {NAME, f"{NAME}-1"}
    assert production.said[-1] == f"{name} is removed"


FUNCTION = f"{NAME}-runner-rehearsal"


@pytest.fixture(scope="module")
def function(production: Production) -> Iterator[str]:
    """Make the function that rehearses, with the policy that the role `runner` gives it."""
    iam = production.stack.client("iam", ACCOUNT)
    lambda_ = production.stack.client("lambda", ACCOUNT)
    template = ROOT / "roles/runner/templates/policy.yml.j2"
    policy = rendered(
        template, "dev", rehearsing=True, runner_database_arn=production.of.source,
        runner_key_arn=production.of.key,
    )  # fmt: skip
    trust = json.dumps(trusting("lambda.amazonaws.com"))
    iam.create_role(RoleName=FUNCTION, AssumeRolePolicyDocument=trust)
    document = {"Version": "2012-10-17", "Statement": list(policy.statements)}
    iam.put_role_policy(RoleName=FUNCTION, PolicyName="runner", PolicyDocument=json.dumps(document))
    until_known(
        lambda_.create_function,
        FunctionName=FUNCTION,
        Runtime="python3.11",
        Handler="runner.handler.handle",
        Role=f"arn:aws:iam::{ACCOUNT}:role/{FUNCTION}",
        Timeout=60,
        Code={"ZipFile": package_of_runner({})},
        Environment={
            "Variables": {
                "PGDATABASE": "app", "DATABASE_ROLE": "migrations",
                "REHEARSAL_KEY": production.of.key,
                "REHEARSES": production.of.source, "REHEARSAL_GROUP": production.of.group,
                "PGSSLROOTCERT": str(production.stack.state.authority),
            }
        },
    )  # fmt: skip
    lambda_.create_alias(FunctionName=FUNCTION, Name="rehearse", FunctionVersion="$LATEST")
    yield f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}:rehearse"
    lambda_.delete_function(FunctionName=FUNCTION)


def test_files_run_on_the_clone_by_the_function_and_tell_no_data(
    production: Production, function: str, tmp_path: Path
) -> None:
    """The clone has a password that the function's role may read, and the limit decides."""
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/V1__total.sql").write_text(
        "create table total as select count(*) as rows from customer;\n"
        "do $$ begin raise notice 'rows: %', (select rows from total); end $$;\n"
    )
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = cli.main([
            "--json", "invoke", "--function", function, "--run-id", "r", "--send-files",
            "--sql-dir", str(tmp_path / "sql"), "rehearse", "--took", "0ms",
        ])  # fmt: skip
    document = json.loads(out.getvalue())
    assert (code, document["error"]["kind"]) == (7, "refused"), document
    assert [file["file"] for file in document["data"]["files"]] == ["V1__total.sql"]
    assert "rows: 7" not in out.getvalue()
    assert production.names() == {NAME, f"{NAME}-1"}


def test_a_rehearsal_that_is_told_to_stop_removes_its_copy_first(
    production: Production, function: str, tmp_path: Path
) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/V1__wait.sql").write_text("select pg_sleep(30);\n")
    arguments = ["--sql-dir", str(tmp_path / "sql"), "--send-files", "rehearse"]
    with subprocess.Popen(
        [sys.executable, "-m", "runner", "invoke", "--function", function, *arguments],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if "is there after" in line:
                process.send_signal(signal.SIGTERM)
        assert "is removed" in line
    assert process.returncode == CODES["interrupted"]
    assert production.names() == {NAME, f"{NAME}-1"}


def test_a_forgotten_copy_goes_and_one_that_is_in_use_stays(production: Production) -> None:
    # Of an engine behind which the emulator runs no server: nobody logs in to them.
    for name, expires in (
        ("old", "2026-01-02T03:04:05+00:00"),
        ("new", "2999-01-02T03:04:05+00:00"),
    ):
        production.rds.create_db_cluster(
            DBClusterIdentifier=f"{NAME}-rehearsal-{name}", Engine="aurora-mysql",
            MasterUsername="admin", MasterUserPassword="secret-secret",
            Tags=[{"Key": "ExpiresAt", "Value": expires}],
        )  # fmt: skip
    with cloned(production.of, production.said.append):
        left = {name.removeprefix(f"{NAME}-rehearsal-") for name in production.names()}
    production.rds.delete_db_cluster(
        DBClusterIdentifier=f"{NAME}-rehearsal-new", SkipFinalSnapshot=True
    )
    assert ("new" in left, "old" in left) == (True, False)


def test_an_instance_is_restored_with_its_rows_and_goes(
    production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    rds, name = production.rds, "schema-migrations-plain"
    rds.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily="postgres17", Description="d"
    )
    instance = rds.create_db_instance(
        DBInstanceIdentifier=name, Engine="postgres", EngineVersion="17.7", DBName="app",
        DBInstanceClass="db.t4g.micro", AllocatedStorage=20, BackupRetentionPeriod=1,
        MasterUsername="postgres", ManageMasterUserPassword=True, DBSubnetGroupName=NAME,
        DBParameterGroupName=name,
    )["DBInstance"]  # fmt: skip
    there = instance["Endpoint"]
    production.asked(
        there["Address"], there["Port"], instance["MasterUserSecret"]["SecretArn"],
        "create table customer as select generate_series(1, 3) as id",
    )  # fmt: skip
    role = _role(production.stack, name, _policy(production.of.key, name))
    for variable, value in role.items():
        monkeypatch.setenv(variable, value)
    before = production.names()
    with cloned(production.of._replace(source=instance["DBInstanceArn"]), print) as copy:
        assert production.asked(*copy, "select count(*) from customer") == [(3,)]
    assert production.names() == before
    rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


def test_a_copy_that_cannot_be_made_says_so_and_leaves_nothing(production: Production) -> None:
    before = production.names()
    with (
        pytest.raises(Unreachable, match=r"cannot be made.*Invalid security group"),
        cloned(production.of._replace(group="sg-0123"), production.said.append),
    ):
        pytest.fail("there is no copy")
    assert production.names() == before


def test_a_copy_that_never_becomes_available_is_no_fault_of_the_callers(
    production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: object, **__: object) -> None:
        raise WaiterError("DBInstanceAvailable", "it is failed", {})

    monkeypatch.setattr(clones._Copies, "wait", wait)
    with (
        pytest.raises(Unreachable, match=r"cannot be made: .*it is failed"),
        cloned(production.of, production.said.append),
    ):
        pytest.fail("there is no copy")
    assert production.names() == {NAME, f"{NAME}-1"}


@pytest.fixture
def requests() -> Iterator[dict[str, dict[str, Any]]]:
    """Give what boto3 asks RDS for from now on, by operation."""
    recorder, requests = get_global_history_recorder(), Requests()
    recorder.enable()
    recorder.add_handler(requests)
    yield requests.made
    recorder.disable()


def test_the_role_of_rehearsals_is_granted_what_they_take_and_misses_each_of_it(
    production: Production, requests: dict[str, dict[str, Any]]
) -> None:
    with cloned(production.of, production.said.append):
        pass
    made, statements = dict(requests), production.policy["Statement"]
    granted = {action for s in statements for action in _several(s["Action"])}
    assert granted == {f"rds:{operation}" for operation in made} | STATED.keys()
    sts = production.stack.client("sts", ACCOUNT)
    role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/rehearses", "RoleSessionName": "proof"}
    client = production.stack.client("rds", ACCOUNT, sts.assume_role(**role)["Credentials"])
    for operation, params in made.items():
        _take_out(production, f"rds:{operation}")
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            getattr(client, xform_name(operation))(**params)


def _take_out(production: Production, action: str) -> None:
    """Take an action out of the role's policy."""
    statements = [
        {**s, "Action": [a for a in _several(s["Action"]) if a != action]}
        for s in production.policy["Statement"]
    ]
    document = {"Version": "2012-10-17", "Statement": [s for s in statements if s["Action"]]}
    production.stack.client("iam", ACCOUNT).put_role_policy(
        RoleName="rehearses", PolicyName="all", PolicyDocument=json.dumps(document)
    )


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
