"""Groups that refer to one another: made, corrected, emptied and removed in one call."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from local.stack import Stack
from tests.modules.harness import Module, Outcome

ACCOUNT = "999900001111"
ROLE = Path(__file__).parents[2] / "roles/network/vars/main.yml"
RULE = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
GROUPS = [
    {"name": "default", "description": "made by AWS"},
    {"name": "database", "description": "asked", "ingress": [{"group": "app", "port": 5432}]},
    {"name": "app", "description": "asks", "egress": [{"group": "database", "port": 5432}]},
]


@pytest.fixture(scope="module")
def account() -> str:
    """Give these tests an account of their own."""
    return ACCOUNT


class Vpc:
    """A VPC of its own, with the module's arguments for it."""

    def __init__(self, stack: Stack, module: Module) -> None:
        self.ec2, self.module = stack.client("ec2", ACCOUNT), module
        self.id = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]

    def run(self, *, check: bool = False, **changed: Any) -> Outcome:
        """Run the module for this VPC."""
        arguments = {"vpc_id": self.id, "prefix": "shop", "groups": GROUPS, "tags": {"Of": "us"}}
        return self.module("security_groups", check=check, **(arguments | changed))

    def groups(self) -> dict[str, dict[str, Any]]:
        """Return the groups as EC2 has them, by their names."""
        here = [{"Name": "vpc-id", "Values": [self.id]}]
        found = self.ec2.describe_security_groups(Filters=here)["SecurityGroups"]
        return {group["GroupName"]: group for group in found}


@pytest.fixture
def vpc(stack: Stack, module: Module) -> Vpc:
    """Make a VPC."""
    return Vpc(stack, module)


@pytest.fixture
def made(vpc: Vpc) -> Vpc:
    """Make a VPC with the groups."""
    assert vpc.run().changed
    return vpc


def test_groups_refer_to_each_other_and_to_nothing_else(made: Vpc) -> None:
    groups = made.groups()
    (way_in,) = groups["shop-database"]["IpPermissions"]
    (way_out,) = groups["shop-app"]["IpPermissionsEgress"]
    assert way_in["UserIdGroupPairs"][0]["GroupId"] == groups["shop-app"]["GroupId"]
    assert way_out["UserIdGroupPairs"][0]["GroupId"] == groups["shop-database"]["GroupId"]
    rest = [groups["default"], groups["shop-app"] | {"IpPermissionsEgress": []}]
    rest += [groups["shop-database"] | {"IpPermissions": []}]
    assert not any(group["IpPermissions"] or group["IpPermissionsEgress"] for group in rest)


def test_a_second_run_changes_nothing(made: Vpc) -> None:
    assert not made.run().changed


def test_a_foreign_rule_is_told_in_check_mode_and_then_taken_out(made: Vpc) -> None:
    group = made.groups()["shop-database"]["GroupId"]
    made.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[RULE])
    assert made.run(check=True).takes_out("0.0.0.0/0")
    assert len(made.groups()["shop-database"]["IpPermissions"]) == 2
    assert made.run().changed
    assert len(made.groups()["shop-database"]["IpPermissions"]) == 1


def test_tags_of_others_stay(made: Vpc) -> None:
    group = made.groups()["shop-app"]["GroupId"]
    made.ec2.create_tags(Resources=[group], Tags=[{"Key": "Cost", "Value": "theirs"}])
    made.ec2.delete_tags(Resources=[group], Tags=[{"Key": "Of"}])
    assert made.run().changed
    tags = {tag["Key"]: tag["Value"] for tag in made.groups()["shop-app"]["Tags"]}
    assert tags == {"Cost": "theirs", "Of": "us", "Name": "shop-app"}


def test_check_mode_tells_what_it_would_make_and_makes_nothing(vpc: Vpc) -> None:
    outcome = vpc.run(check=True)
    assert outcome.difference("database") == (None, "present")
    assert outcome.difference("app egress")[1] == ["('tcp', 5432, 5432, 'sg-database')"]
    assert vpc.groups().keys() == {"default"}


def test_groups_that_hold_each_other_are_removed(made: Vpc) -> None:
    assert made.run(check=True, state="absent").changed
    assert made.groups().keys() == {"default", "shop-database", "shop-app"}
    assert made.run(state="absent").changed
    assert made.groups().keys() == {"default"}


def test_what_ec2_would_refuse_is_refused_before_anything_is_made(vpc: Vpc) -> None:
    outcome = vpc.run(groups=[*GROUPS, {"name": "people", "description": "nobody's"}])
    assert outcome.failed
    assert "EC2 would refuse" in outcome.message
    assert "'nobody's' of people: it takes 1 to 255 of a-z" in outcome.message
    assert vpc.groups().keys() == {"default"}


def filled(value: Any, given: dict[str, Any]) -> Any:
    """Return a role's variable with the values that it refers to."""
    if isinstance(value, str):
        return NativeEnvironment().from_string(value).render(given)
    if isinstance(value, list):
        return [filled(one, given) for one in value]
    if isinstance(value, dict):
        return {name: filled(one, given) for name, one in value.items()}
    return value


def test_the_roles_own_groups_are_what_ec2_takes(vpc: Vpc) -> None:
    given = {"network_region": "eu-central-1", "network_rehearsal": True}
    of_role = yaml.safe_load(ROLE.read_text())
    groups = filled([*of_role["__network_lasting"], *of_role["__network_rehearsing"]], given)
    outcome = vpc.run(check=True, groups=groups)
    assert not outcome.failed, outcome.message
