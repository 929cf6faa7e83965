"""Who may do what, and whom an account trusts."""

import contextlib
import json
from typing import Any

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.playbooks.identities import acting, client, roles, session
from tests.playbooks.plays import ACCOUNTS
from tests.policies.audit import several

DEV, PROD = ACCOUNTS["dev"], ACCOUNTS["prod"]
INLINE_LIMIT = 10240  # characters of all inline policies of a role, white space not counted


def policies(stack: Stack, account: str, role: str) -> list[dict[str, Any]]:
    """Return the inline policies of a role."""
    iam = stack.client("iam", account)
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return [iam.get_role_policy(RoleName=role, PolicyName=n)["PolicyDocument"] for n in names]


def attached(stack: Stack, account: str, role: str) -> dict[str, dict[str, Any]]:
    """Return the managed policies of a role by their ARNs."""
    iam = stack.client("iam", account)
    arns = [
        p["PolicyArn"] for p in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    ]
    versions = {arn: iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] for arn in arns}
    return {
        arn: iam.get_policy_version(PolicyArn=arn, VersionId=v)["PolicyVersion"]["Document"]
        for arn, v in versions.items()
    }


@pytest.mark.parametrize(
    ("env", "role", "builds"),
    [
        ("prod", "deploy", ["deploy-prod"]),
        ("prod", "look", ["look-prod"]),
        ("prod", "invoke-read", ["plan-prod"]),
        ("prod", "invoke-live", ["migrate-prod"]),
        ("prod", "invoke-admin", []),
        ("prod", "connect", []),
        ("dev", "deploy", ["deploy-dev"]),
        ("dev", "look", []),
        ("dev", "invoke-read", []),
        ("dev", "invoke-live", ["migrate-dev"]),
        ("dev", "invoke-admin", []),
        ("dev", "pipeline-operator", ["update"]),
        ("dev", "pipeline-reader", ["compare"]),
    ],
)
def test_a_role_trusts_operators_and_one_build_at_most(
    provisioned: Stack, env: str, role: str, builds: list[str]
) -> None:
    found = roles(provisioned, ACCOUNTS[env])[f"schema-migrations-{role}"]
    trusted = found["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]
    trusted = [trusted] if isinstance(trusted, str) else trusted  # as AWS gives back a lone one
    assert sorted(trusted) == sorted(
        [
            f"arn:aws:iam::{ACCOUNTS[env]}:root",
            *(f"arn:aws:iam::{DEV}:role/schema-migrations-build-{build}" for build in builds),
        ]
    )


# What each build takes, as account and role; everything else is refused.
TAKES = {
    "check": None,
    "compare": (DEV, "pipeline-reader"),
    "deploy-dev": (DEV, "deploy"),
    "migrate-dev": (DEV, "invoke-live"),
    "look-prod": (PROD, "look"),
    "plan-prod": (PROD, "invoke-read"),
    "deploy-prod": (PROD, "deploy"),
    "migrate-prod": (PROD, "invoke-live"),
    "update": (DEV, "pipeline-operator"),
}
NAMES = (
    "deploy", "look", "invoke-read", "invoke-live", "invoke-admin", "connect",
    "pipeline-operator", "pipeline-reader",
)  # fmt: skip


@pytest.mark.parametrize("build", TAKES)
def test_a_build_takes_its_role_and_no_other(provisioned: Stack, build: str) -> None:
    sts = session(provisioned, f"build-{build}")
    own = [(DEV, f"build-{other}") for other in TAKES if other != build] + [(DEV, "pipeline")]
    taken = []
    for account, role in [*((a, n) for a in (DEV, PROD) for n in NAMES), *own]:
        arn = f"arn:aws:iam::{account}:role/schema-migrations-{role}"
        with contextlib.suppress(botocore.exceptions.ClientError):
            sts.assume_role(RoleArn=arn, RoleSessionName="build")
            taken.append((account, role))
    assert taken == ([TAKES[build]] if TAKES[build] else [])


def test_dev_itself_does_not_reach_prod(provisioned: Stack) -> None:
    sts = provisioned.client("sts", DEV)
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        sts.assume_role(
            RoleArn=f"arn:aws:iam::{PROD}:role/schema-migrations-deploy", RoleSessionName="prod"
        )


@pytest.mark.parametrize("account", ACCOUNTS.values(), ids=list(ACCOUNTS))
def test_nothing_has_a_policy_of_aws_or_every_action(provisioned: Stack, account: str) -> None:
    for role in roles(provisioned, account):
        managed = attached(provisioned, account, role)
        assert all(arn.startswith(f"arn:aws:iam::{account}:") for arn in managed)
        for policy in [*policies(provisioned, account, role), *managed.values()]:
            for statement in policy["Statement"]:
                actions = statement["Action"]
                assert not any(
                    "*" in a for a in ([actions] if isinstance(actions, str) else actions)
                )


@pytest.mark.parametrize("account", ACCOUNTS.values(), ids=list(ACCOUNTS))
def test_policies_fit_what_aws_allows(provisioned: Stack, account: str) -> None:
    for role in roles(provisioned, account):
        found = policies(provisioned, account, role)
        size = sum(len(json.dumps(p, separators=(",", ":"))) for p in found)
        assert size <= INLINE_LIMIT, (role, size)


@pytest.mark.parametrize("env", ACCOUNTS)
def test_what_a_deployment_makes_is_bounded(provisioned: Stack, env: str) -> None:
    iam = provisioned.client("iam", ACCOUNTS[env])
    for what in ("runner", "bastion"):
        role = iam.get_role(RoleName=f"schema-migrations-{env}-{what}")["Role"]
        boundary = role["PermissionsBoundary"]["PermissionsBoundaryArn"]
        assert boundary == f"arn:aws:iam::{ACCOUNTS[env]}:policy/schema-migrations-boundary"


@pytest.mark.parametrize(
    "role",
    ["build-check", "build-deploy-dev", "build-plan-prod", "definition", "pipeline", "trigger"],
)
def test_services_are_trusted_for_one_resource_only(provisioned: Stack, role: str) -> None:
    found = roles(provisioned, DEV)[f"schema-migrations-{role}"]
    (statement,) = found["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == DEV
    assert statement["Condition"]["ArnEquals"]["aws:SourceArn"].startswith("arn:aws:")
    assert "*" not in statement["Condition"]["ArnEquals"]["aws:SourceArn"]


@pytest.mark.parametrize("right", ["read", "live", "admin"])
def test_an_invoke_role_may_invoke_by_its_alias_and_no_other(
    provisioned: Stack, right: str
) -> None:
    (policy,) = policies(provisioned, PROD, f"schema-migrations-invoke-{right}")
    statement, *files = policy["Statement"]
    assert [s["Action"] for s in files] == (["s3:PutObject"] if right == "read" else [])
    assert statement["Action"] == ["lambda:InvokeFunction", "lambda:GetFunctionConfiguration"]
    function = f"arn:aws:lambda:eu-central-1:{PROD}:function:schema-migrations-prod-runner"
    assert statement["Resource"] == f"{function}:{right}"


def test_the_deploy_role_cannot_take_the_boundary_off(provisioned: Stack) -> None:
    answer = provisioned.client("sts", PROD).assume_role(
        RoleArn=f"arn:aws:iam::{PROD}:role/schema-migrations-deploy", RoleSessionName="test"
    )
    iam, role = client(provisioned, "iam", answer["Credentials"]), "schema-migrations-prod-runner"
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        iam.delete_role_permissions_boundary(RoleName=role)
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        iam.put_role_permissions_boundary(
            RoleName=role, PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess"
        )


@pytest.mark.parametrize(
    ("env", "name"), [("prod", "look"), ("dev", "look"), ("dev", "pipeline-reader")]
)
def test_who_looks_changes_nothing_and_opens_no_secret(
    provisioned: Stack, env: str, name: str
) -> None:
    (policy,) = policies(provisioned, ACCOUNTS[env], f"schema-migrations-{name}")
    allowed = {a for s in policy["Statement"] for a in several(s["Action"])}
    assert allowed
    verbs = {name.partition(":")[2] for name in allowed}
    assert all(verb.startswith(("BatchGet", "Describe", "Get", "List")) for verb in verbs)
    assert "GetSecretValue" not in verbs


def test_the_deploy_role_cannot_change_itself(provisioned: Stack) -> None:
    answer = provisioned.client("sts", PROD).assume_role(
        RoleArn=f"arn:aws:iam::{PROD}:role/schema-migrations-deploy", RoleSessionName="test"
    )
    iam = client(provisioned, "iam", answer["Credentials"])
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        iam.put_role_policy(
            RoleName="schema-migrations-deploy", PolicyName="more", PolicyDocument="{}"
        )


def test_an_approver_may_answer_the_approval_and_start_nothing(provisioned: Stack) -> None:
    iam = provisioned.client("iam", DEV)
    arn = f"arn:aws:iam::{DEV}:policy/schema-migrations-approver"
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    see, answer = found["Statement"]
    assert all(verb.startswith(("codepipeline:Get", "codepipeline:List")) for verb in see["Action"])
    assert answer["Action"] == "codepipeline:PutApprovalResult"
    pipeline = f"arn:aws:codepipeline:eu-central-1:{DEV}:schema-migrations"
    assert answer["Resource"] == [
        f"{pipeline}-definition/Update/Approve",
        f"{pipeline}/Prod/Approve",
    ]


def test_each_pipeline_starts_its_own_builds_and_the_other_pipeline(provisioned: Stack) -> None:
    for role, name, other in (
        ("pipeline", "schema-migrations", "schema-migrations-definition"),
        ("definition", "schema-migrations-definition", "schema-migrations"),
    ):
        (policy,) = policies(provisioned, DEV, f"schema-migrations-{role}")
        allowed = {a: s["Resource"] for s in policy["Statement"] for a in several(s["Action"])}
        found = provisioned.client("codepipeline", DEV).get_pipeline(name=name)["pipeline"]
        actions = [action["configuration"] for s in found["stages"] for action in s["actions"]]
        begin = f"arn:aws:codebuild:eu-central-1:{DEV}:project/"
        own = {f"{begin}{c['ProjectName']}" for c in actions if "ProjectName" in c}
        assert set(allowed["codebuild:StartBuild"]) == own
        assert allowed["codepipeline:StartPipelineExecution"].endswith(f":{other}")
        assert [c["PipelineName"] for c in actions if "PipelineName" in c] == [other]


def test_the_deploy_role_cannot_remove_the_database(provisioned: Stack) -> None:
    rds = acting(provisioned, "rds", PROD, "schema-migrations-deploy")
    name = "schema-migrations-prod"
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    for instance in rds.describe_db_instances()["DBInstances"]:
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            rds.delete_db_instance(DBInstanceIdentifier=instance["DBInstanceIdentifier"])


def test_the_deploy_role_cannot_have_a_role_trust_another(provisioned: Stack) -> None:
    iam, role = (
        acting(provisioned, "iam", PROD, "schema-migrations-deploy"),
        "schema-migrations-prod-runner",
    )
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        iam.update_assume_role_policy(RoleName=role, PolicyDocument="{}")
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        iam.delete_role(RoleName=role)


@pytest.mark.parametrize("env", ACCOUNTS)
def test_only_operators_may_take_the_role_that_destroys(provisioned: Stack, env: str) -> None:
    role = roles(provisioned, ACCOUNTS[env])["schema-migrations-destroy"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNTS[env]}:root"}


@pytest.mark.parametrize(
    "build", ["build-check", "build-deploy-prod", "build-migrate-prod", "build-update"]
)
def test_no_build_may_take_the_role_that_destroys(provisioned: Stack, build: str) -> None:
    for account in (DEV, PROD):
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            session(provisioned, build).assume_role(
                RoleArn=f"arn:aws:iam::{account}:role/schema-migrations-destroy",
                RoleSessionName="build",
            )


def test_a_bounded_role_opens_no_other_databases_secret(provisioned: Stack) -> None:
    """Whatever the deploy role writes into the runner's policy, the boundary is what counts."""
    secrets = provisioned.client("secretsmanager", PROD)
    foreign = [
        secrets.create_secret(Name=name, SecretString="hidden")["ARN"]
        for name in ("somebody-elses", "rds!cluster-somebody-elses")
    ]
    cluster = provisioned.client("rds", PROD).describe_db_clusters()["DBClusters"][0]
    iam = provisioned.client("iam", PROD)
    anything = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{PROD}:root"},
        "Action": "sts:AssumeRole",
    }
    iam.create_role(
        RoleName="greedy",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        PermissionsBoundary=f"arn:aws:iam::{PROD}:policy/schema-migrations-boundary",
    )
    document = json.dumps({"Version": "2012-10-17", "Statement": [anything]})
    iam.put_role_policy(RoleName="greedy", PolicyName="all", PolicyDocument=document)
    greedy = acting(provisioned, "secretsmanager", PROD, "greedy")
    assert greedy.get_secret_value(SecretId=cluster["MasterUserSecret"]["SecretArn"])
    for arn in foreign:
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            greedy.get_secret_value(SecretId=arn)
        secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    iam.delete_role_policy(RoleName="greedy", PolicyName="all")
    iam.delete_role(RoleName="greedy")


def statements(stack: Stack, action: str) -> list[dict[str, Any]]:
    """Return the statements of prod's deploy role that allow an action."""
    found = attached(stack, PROD, "schema-migrations-deploy")
    return [s for policy in found.values() for s in policy["Statement"] if action in s["Action"]]


def database_key(stack: Stack) -> dict[str, Any]:
    """Return what KMS says of the key of prod's database."""
    alias = "alias/schema-migrations-prod-database"
    answer: dict[str, Any] = stack.client("kms", PROD).describe_key(KeyId=alias)["KeyMetadata"]
    return answer


@pytest.mark.parametrize(
    ("action", "condition"),
    [
        ("kms:DescribeKey", None),
        ("kms:CreateGrant", {"Bool": {"kms:GrantIsForAWSResource": "true"}}),
        (
            "kms:Decrypt",
            {
                "StringEquals": {
                    "kms:ViaService": [
                        "rds.eu-central-1.amazonaws.com",
                        "secretsmanager.eu-central-1.amazonaws.com",
                    ]
                }
            },
        ),
    ],
    ids=["describe", "grant", "decrypt"],
)
def test_the_deploy_role_has_services_use_the_databases_key(
    provisioned: Stack, action: str, condition: dict[str, Any] | None
) -> None:
    (statement,) = statements(provisioned, action)
    assert statement["Resource"] == database_key(provisioned)["Arn"]
    assert statement.get("Condition") == condition


def test_the_deploy_role_cannot_take_a_key_over(provisioned: Stack) -> None:
    answer = provisioned.client("sts", PROD).assume_role(
        RoleArn=f"arn:aws:iam::{PROD}:role/schema-migrations-deploy", RoleSessionName="test"
    )
    kms, key = client(provisioned, "kms", answer["Credentials"]), database_key(provisioned)
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy="{}")
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        kms.schedule_key_deletion(KeyId=key["KeyId"])


def test_the_deploy_role_may_make_the_service_role_of_rds_only(provisioned: Stack) -> None:
    (statement,) = statements(provisioned, "iam:CreateServiceLinkedRole")
    role = "aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS"
    assert statement["Resource"] == f"arn:aws:iam::{PROD}:role/{role}"
    assert statement["Condition"] == {"StringEquals": {"iam:AWSServiceName": "rds.amazonaws.com"}}


def test_a_database_may_be_made_with_the_default_groups_it_does_not_name(
    provisioned: Stack,
) -> None:
    own, default = statements(provisioned, "rds:CreateDBInstance")
    assert all(":schema-migrations-prod" in resource for resource in own["Resource"])
    assert default["Resource"] == [
        f"arn:aws:rds:eu-central-1:{PROD}:{kind}:default*" for kind in ("og", "pg")
    ]
    assert default["Action"] == ["rds:CreateDBCluster", "rds:CreateDBInstance"]
