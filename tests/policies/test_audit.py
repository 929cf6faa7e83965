"""Every IAM policy of the roles agrees with AWS's Service Authorization Reference.

What a policy says against it stands in REASONS, with why it is right all the same.
"""

import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

import pytest

from tests.policies import audit
from tests.policies.rendered import Policy, policies

POLICIES = policies()
# The boundary allows nothing by itself: it only says how far other policies may go.
BOUNDARIES = [policy for policy in POLICIES if policy.name == "boundary"]
GRANTS = [policy for policy in POLICIES if policy.name != "boundary"]
# What is asked for of an administrator before anything is made or goes.
SIMULATED = ("operator-policy", "teardown-policy")
MANAGED = ("boundary", "deploy-policy", "destroy-policy")
MANAGED_LIMIT = 6144  # characters of a managed policy, white space not counted

LAMBDA_INTERFACES = (
    "the service makes interfaces before their ids are known, and asks for it on everything"
)
NO_ROLE = "no role is passed to RDS: no enhanced monitoring, no directory"
NOT_ORACLE = "tenant databases are Oracle's"
LOOKING = "only looks, and is asked without a name"
BOTH_NAMES = "AWS asks for it under its old and new name, whatever the name in the connection's ARN"
# Policy and finding, as patterns, and why it is no mistake.
REASONS = {
    ("bastion-policy", "ssm:UpdateInstanceInformation"): "the instance's id is not known before",
    ("*-de*oy-policy", "ec2:Describe*Attribute"): LOOKING,
    ("database-de*oy-policy", "rds:Describe*"): LOOKING,
    ("account-invoke-rehearse", "rds:Describe*"): LOOKING,
    ("account-invoke-rehearse", "rds:Delete* needs rds:CreateDB*Snapshot"): "a copy leaves none",
    ("account-invoke-rehearse", "rds:DeleteDBCluster on cluster-snapshot"): "a copy leaves none",
    ("account-invoke-rehearse", "rds:* needs secretsmanager:RotateSecret"): "a copy's ends with it",
    ("runner-policy*", "ec2:*PrivateIpAddresses"): LAMBDA_INTERFACES,
    ("runner-*policy*", "ec2:*NetworkInterface"): LAMBDA_INTERFACES,
    (
        "runner-*policy*",
        "ec2:CreateNetworkInterface needs ec2:CreateTags",
    ): "Lambda and CodeBuild tag none",
    ("*", "ec2:RunInstances needs ssm:GetParameters"): "the image is named by its id",
    ("fleet-deploy-policy*", "* needs states:PublishStateMachineVersion"): "none is published",
    ("*", "states:* on express*"): "an execution of ours is of a STANDARD machine",
    ("*-operator-policy*", "kms:DescribeKey"): "asked by an alias, before there is a key",
    ("*-teardown-policy*", "kms:DescribeKey"): "asked by an alias",
    ("*-teardown-policy*", "rds:Describe*"): LOOKING,
    ("*", "kms:CreateKey needs iam:CreateServiceLinkedRole"): "only for keys of several regions",
    ("*", "rds:* needs iam:PassRole"): NO_ROLE,
    ("*", "rds:* needs rds:*TenantDatabase"): NOT_ORACLE,
    ("account-operator-policy*", "servicequotas:*"): "only of services that have their own values",
    ("*", "lambda:CreateFunction needs lambda:PassCapacityProvider"): "no instances of our own",
    ("account-connect", "aws:resourcetag of ec2-instance-connect:*"): "a key of its instances",
    ("account-connect", "ssmmessages:OpenDataChannel on *"): "AWS's samples name the session",
    ("*", "arn:aws:code*:connection/* under code*connections:*"): BOTH_NAMES,
}
Check = Callable[[Policy], Iterator[str]]
CHECKS = [
    audit.unknown,
    audit.misplaced,
    audit.boundless,
    audit.uncovered,
    audit.deaf,
    audit.lonely,
]


def reason(policy: Policy, finding: str) -> tuple[str, str] | None:
    """Return the entry of REASONS that a finding falls under."""
    return next((r for r in REASONS if all(map(fnmatchcase, (str(policy), finding), r))), None)


@pytest.mark.parametrize("policy", GRANTS, ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_reference_has_nothing_against_the_policy(check: Check, policy: Policy) -> None:
    assert [finding for finding in check(policy) if not reason(policy, finding)] == []


def test_boundary_names_actions_that_exist() -> None:
    for boundary in BOUNDARIES:
        assert list(audit.unknown(boundary)) == []


@pytest.mark.parametrize("verb", ["secretsmanager:GetSecretValue", "kms:Decrypt", "rds-db:connect"])
def test_boundary_names_what_opens_the_database(verb: str) -> None:
    for boundary in BOUNDARIES:
        found = [statement for statement, name in audit.named(boundary) if name == verb]
        assert found
        for statement in found:
            assert statement["Resource"] != "*"
            assert "Condition" in statement or verb == "rds-db:connect"


@pytest.mark.parametrize("policy", [p for p in POLICIES if p.name == "deploy-policy"], ids=str)
def test_who_deploys_cannot_remove_a_database_or_change_a_trust(policy: Policy) -> None:
    granted = {name for _, name in audit.named(policy)}
    assert not {name for name in granted if fnmatchcase(name, "rds:Delete*")}
    # A role that may be made anew may be made with another trust.
    assert not granted & {"iam:UpdateAssumeRolePolicy", "iam:DeleteRole"}


def test_every_reason_has_its_finding() -> None:
    used = {reason(p, finding) for p in GRANTS for check in CHECKS for finding in check(p)}
    assert REASONS.keys() - used == set()


@pytest.mark.parametrize("policy", [p for p in POLICIES if p.name in MANAGED], ids=str)
def test_policy_fits_a_managed_policy(policy: Policy) -> None:
    document = {"Version": "2012-10-17", "Statement": policy.statements}
    assert len(json.dumps(document, separators=(",", ":"))) <= MANAGED_LIMIT


@pytest.mark.parametrize("policy", [p for p in POLICIES if p.name in SIMULATED], ids=str)
def test_each_action_is_about_each_resource_so_that_it_can_be_simulated(policy: Policy) -> None:
    for statement, name, about in audit.known(policy):
        for arn in audit.several(statement["Resource"]):
            assert arn == "*" or about.matching(arn), (name, arn)


# EC2 does not say for whom it acts. Lambda says the account; AWS documents no aws:SourceArn for it.
WITHOUT = {
    "ec2.amazonaws.com": {"aws:SourceAccount", "aws:SourceArn"},
    "lambda.amazonaws.com": {"aws:SourceArn"},
}


@pytest.mark.parametrize("policy", [p for p in POLICIES if p.trust], ids=str)
def test_a_service_is_trusted_for_our_account_and_one_resource(policy: Policy) -> None:
    for statement in policy.statements:
        if service := statement["Principal"].get("Service"):
            asked = {key for block in statement.get("Condition", {}).values() for key in block}
            assert asked == {"aws:SourceAccount", "aws:SourceArn"} - WITHOUT.get(service, set())


@pytest.mark.parametrize(
    ("name", "verb", "key"),
    [
        ("pipeline-deploy-policy-connection", "PassConnection", "PassedToService"),
        ("pipeline_account-pipeline-connection", "UseConnection", "FullRepositoryId"),
        ("pipeline_account-build-connection", "UseConnection", "FullRepositoryId"),
    ],
)
def test_a_connection_is_passed_and_used_by_both_names(name: str, verb: str, key: str) -> None:
    (policy,) = (p for p in POLICIES if str(p) == name)
    for service in ("codeconnections", "codestar-connections"):
        (found,) = (s for s, n in audit.named(policy) if n == f"{service}:{verb}")
        assert {arn.split(":")[2] for arn in found["Resource"]} == {
            "codeconnections",
            "codestar-connections",
        }
        (condition,) = found["Condition"].values()
        assert condition.keys() == {f"{service}:{key}"}


def test_a_connections_source_may_set_the_artifacts_acl() -> None:
    (policy,) = (p for p in POLICIES if str(p) == "pipeline_account-pipeline-connection")
    granted = {name for _, name in audit.named(policy)}
    assert {"s3:PutObjectAcl", "s3:GetBucketAcl"} <= granted


def policy(**statement: object) -> Policy:
    """Return a policy of one statement, to see what the audit says of it."""
    return Policy("test", "test", "", ({"Effect": "Allow", **statement},))


VPC, SUBNET = "arn:aws:ec2:eu-central-1:111122223333:vpc/*", "arn:aws:ec2:eu-central-1:1:subnet/*"


@pytest.mark.parametrize(
    ("check", "wrong", "finding"),
    [
        (audit.unknown, policy(Action="ec2:MakeVpc", Resource="*"), "ec2:MakeVpc"),
        (
            audit.misplaced,
            policy(Action="ec2:DeleteVpc", Resource=SUBNET),
            f"ec2:DeleteVpc on ['{SUBNET}']",
        ),
        (
            audit.misplaced,
            policy(Action="ec2:DeleteVpc", Resource=[VPC, SUBNET]),
            f"{SUBNET} under ec2:DeleteVpc",
        ),
        (audit.boundless, policy(Action="ec2:DeleteVpc", Resource="*"), "ec2:DeleteVpc"),
        (
            audit.uncovered,
            policy(Action="ec2:CreateSubnet", Resource=SUBNET),
            "ec2:CreateSubnet on vpc",
        ),
        (
            audit.deaf,
            policy(
                Action="ec2:DeleteVpc",
                Resource=VPC,
                Condition={"StringEquals": {"aws:RequestTag/Project": "shop"}},
            ),
            f"aws:requesttag of ec2:DeleteVpc on {VPC}",
        ),
        (
            audit.lonely,
            policy(Action="ec2:CreateVpc", Resource=VPC),
            "ec2:CreateVpc needs ec2:CreateTags",
        ),
    ],
    ids=[
        "unknown",
        "no resource fits",
        "no action fits",
        "boundless",
        "uncovered",
        "deaf",
        "lonely",
    ],
)
def test_audit_finds_a_mistake(check: Check, wrong: Policy, finding: str) -> None:
    assert finding in list(check(wrong))
