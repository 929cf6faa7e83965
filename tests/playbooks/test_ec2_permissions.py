"""The deploy role can make, change and remove what carries its environment's tags, and no more."""

from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.playbooks.identities import acting
from tests.playbooks.plays import ACCOUNTS

PROD = ACCOUNTS["prod"]
TAGS = {"Project": "schema-migrations", "Environment": "prod"}


@pytest.fixture(scope="module")
def deployer(provisioned: Stack) -> Any:
    """Give an EC2 client that acts as prod's deploy role."""
    return acting(provisioned, "ec2", PROD, "schema-migrations-deploy")


@pytest.fixture(scope="module")
def foreign(provisioned: Stack) -> dict[str, str]:
    """Make a VPC with what belongs into it that carries another environment's tags."""
    ec2 = provisioned.client("ec2", PROD)

    def tags(kind: str) -> list[dict[str, Any]]:
        pairs = {**TAGS, "Environment": "other"}.items()
        return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in pairs]}]

    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/24", TagSpecifications=tags("vpc"))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.99.0.0/26", TagSpecifications=tags("subnet")
    )["Subnet"]["SubnetId"]
    group = ec2.create_security_group(
        VpcId=vpc, GroupName="other", Description="-", TagSpecifications=tags("security-group")
    )["GroupId"]
    instance = ec2.run_instances(
        ImageId="ami-0c2023a1b2c3d4e60",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        TagSpecifications=tags("instance"),
    )["Instances"][0]["InstanceId"]
    return {"vpc": vpc, "subnet": subnet, "group": group, "instance": instance}


CLAIM = [{"Key": key, "Value": value} for key, value in TAGS.items()]
HTTP = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("delete_vpc", lambda known: {"VpcId": known["vpc"]}),
        ("delete_subnet", lambda known: {"SubnetId": known["subnet"]}),
        ("delete_security_group", lambda known: {"GroupId": known["group"]}),
        (
            "authorize_security_group_ingress",
            lambda known: {"GroupId": known["group"], "IpPermissions": HTTP},
        ),
        (
            "revoke_security_group_egress",
            lambda known: {"GroupId": known["group"], "IpPermissions": HTTP},
        ),
        ("terminate_instances", lambda known: {"InstanceIds": [known["instance"]]}),
        ("create_subnet", lambda known: {"VpcId": known["vpc"], "CidrBlock": "10.99.0.64/26"}),
        ("create_tags", lambda known: {"Resources": [known["vpc"]], "Tags": CLAIM}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_deploy_role_cannot_touch_what_is_not_ours(
    deployer: Any, foreign: dict[str, str], call: str, request_: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="UnauthorizedOperation"):
        getattr(deployer, call)(**request_(foreign))


def test_the_deploy_role_cannot_make_a_vpc_without_our_tags(deployer: Any) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="UnauthorizedOperation"):
        deployer.create_vpc(CidrBlock="10.98.0.0/24")


def test_the_deploy_role_cannot_put_another_environments_tags_on_a_vpc(deployer: Any) -> None:
    tags = [{"Key": k, "Value": v} for k, v in {**TAGS, "Environment": "other"}.items()]
    with pytest.raises(botocore.exceptions.ClientError, match="UnauthorizedOperation"):
        deployer.create_vpc(
            CidrBlock="10.98.0.0/24", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
        )
