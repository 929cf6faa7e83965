"""Emulated functions have network interfaces, and sleep when they are told to."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

from local.stack import Stack
from tests.aws import trusting
from tests.local.known import until_known

ACCOUNT = "555566667777"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/napper"
TRUST = trusting("lambda.amazonaws.com")
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"],
            "Resource": "*",
        }
    ],
}


def package() -> bytes:
    """Return a function that answers."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("napper.py", "def handle(event, context):\n    return 'awake'\n")
    return buffer.getvalue()


@pytest.fixture
def network(stack: Stack) -> Iterator[dict[str, list[str]]]:
    """Make a network with a security group, and a role that may make interfaces in it."""
    ec2, iam = stack.client("ec2", ACCOUNT), stack.client("iam", ACCOUNT)
    iam.create_role(RoleName="napper", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.put_role_policy(RoleName="napper", PolicyName="p", PolicyDocument=json.dumps(POLICY))
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"]
        for n in range(2)
    ]
    group = ec2.create_security_group(VpcId=vpc, GroupName="napper", Description="-")["GroupId"]
    yield {"SubnetIds": subnets, "SecurityGroupIds": [group]}
    roles = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    if "napper" in roles:
        iam.delete_role_policy(RoleName="napper", PolicyName="p")
        iam.delete_role(RoleName="napper")


@pytest.fixture
def function(stack: Stack, network: dict[str, list[str]]) -> Iterator[Any]:
    """Make a function in the network; give its client."""
    client = stack.client("lambda", ACCOUNT)
    until_known(
        client.create_function,
        FunctionName="napper",
        Runtime="python3.11",
        Handler="napper.handle",
        Role=ROLE,
        Code={"ZipFile": package()},
        VpcConfig=network,
    )
    client.get_waiter("function_active_v2").wait(FunctionName="napper")
    yield client
    if client.list_functions()["Functions"]:
        client.delete_function(FunctionName="napper")


def interfaces(stack: Stack) -> list[dict[str, Any]]:
    """Return the function's network interfaces."""
    wanted = [{"Name": "description", "Values": ["AWS Lambda VPC ENI-napper-*"]}]
    found = stack.client("ec2", ACCOUNT).describe_network_interfaces(Filters=wanted)
    return list(found["NetworkInterfaces"])


def test_a_function_has_an_interface_in_each_subnet(
    stack: Stack, network: dict[str, list[str]], function: Any
) -> None:
    found = interfaces(stack)
    assert {i["SubnetId"] for i in found} == set(network["SubnetIds"])
    assert {i["InterfaceType"] for i in found} == {"lambda"}
    assert [g["GroupId"] for g in found[0]["Groups"]] == network["SecurityGroupIds"]


def test_interfaces_outlive_the_function_and_hold_group_and_subnet(
    stack: Stack, network: dict[str, list[str]], function: Any
) -> None:
    ec2 = stack.client("ec2", ACCOUNT)
    function.delete_function(FunctionName="napper")
    with pytest.raises(botocore.exceptions.ClientError, match="DependencyViolation"):
        ec2.delete_security_group(GroupId=network["SecurityGroupIds"][0])
    with pytest.raises(botocore.exceptions.ClientError, match="DependencyViolation"):
        ec2.delete_subnet(SubnetId=network["SubnetIds"][0])
    while interfaces(stack):
        pass
    ec2.delete_security_group(GroupId=network["SecurityGroupIds"][0])


def test_a_role_without_the_network_is_refused(stack: Stack, network: dict[str, list[str]]) -> None:
    stack.client("iam", ACCOUNT).delete_role_policy(RoleName="napper", PolicyName="p")
    with pytest.raises(botocore.exceptions.ClientError, match="CreateNetworkInterface on EC2"):
        until_known(
            stack.client("lambda", ACCOUNT).create_function,
            FunctionName="napper",
            Runtime="python3.11",
            Handler="napper.handle",
            Role=ROLE,
            Code={"ZipFile": package()},
            VpcConfig=network,
        )
    stack.client("iam", ACCOUNT).put_role_policy(
        RoleName="napper", PolicyName="p", PolicyDocument=json.dumps(POLICY)
    )


def test_the_first_call_of_an_inactive_function_wakes_it(stack: Stack, function: Any) -> None:
    environment = stack.environment(ACCOUNT)
    once = boto3.client(
        "lambda",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name="eu-central-1",
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    arn = function.get_function_configuration(FunctionName="napper")["FunctionArn"]
    function.tag_resource(Resource=arn, Tags={"local:State": "Inactive"})
    assert function.get_function_configuration(FunctionName="napper")["State"] == "Inactive"
    with pytest.raises(function.exceptions.ResourceNotReadyException):
        once.invoke(FunctionName="napper")
    function.get_waiter("function_active_v2").wait(FunctionName="napper")
    assert function.invoke(FunctionName="napper")["Payload"].read() == b'"awake"'
