"""What tests of several folders ask of the emulated AWS, and of the databases behind it."""

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg2

from local.stack import Stack
from local.state import CLONE

REGION = "eu-central-1"
# What CodeBuild does in a build's name to put it into a VPC.
NETWORK = [
    "ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface", "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
]  # fmt: skip


def trusting(service: str, source: str | None = None) -> dict[str, Any]:
    """Return the trust policy of a role for a service, perhaps for one of its resources only."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if source:
        statement["Condition"] = {"ArnEquals": {"aws:SourceArn": source}}
    return {"Version": "2012-10-17", "Statement": [statement]}


def package_of_runner(files: Mapping[str, str | bytes]) -> bytes:
    """Return the function's package: the runner, and files by their names in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in (CLONE / "runner").rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                file.write(path, path.relative_to(CLONE))
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def network_without_way_out(stack: Stack, account: str) -> dict[str, Any]:
    """Make a VPC with the gateway of S3 and the endpoint of logs; return a build's vpcConfig."""
    ec2 = stack.client("ec2", account)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=vpc, GroupName="b", Description="-")["GroupId"]
    for kind, service in (("Gateway", "s3"), ("Interface", "logs")):
        ec2.create_vpc_endpoint(
            VpcId=vpc, VpcEndpointType=kind, ServiceName=f"com.amazonaws.{REGION}.{service}"
        )
    return {"vpcId": vpc, "subnets": [subnet], "securityGroupIds": [group]}


def make_builder(stack: Stack, account: str) -> str:
    """Make the role "builder", for which the emulator's root stands as the service; return it."""
    trust = trusting("codebuild.amazonaws.com")
    trust["Statement"][0] |= {"Principal": {"AWS": f"arn:aws:iam::{account}:root"}}
    made = stack.client("iam", account).create_role(
        RoleName="builder", AssumeRolePolicyDocument=json.dumps(trust)
    )
    return str(made["Role"]["Arn"])


@contextlib.contextmanager
def subscribed(stack: Stack, topic: str, name: str) -> Iterator[str]:
    """Subscribe a queue of this name to a topic, given by its ARN, and give the queue's URL."""
    account = topic.split(":")[4]
    sqs, sns = stack.client("sqs", account), stack.client("sns", account)
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{account}:{name}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    yield url
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=url)


def as_master(
    stack: Stack, account: str, cluster: dict[str, Any], database: str, *statements: str
) -> list[tuple[Any, ...]]:
    """Log in to a cluster with its master user's secret, run statements, return the last's rows."""
    secrets = stack.client("secretsmanager", account)
    value = secrets.get_secret_value(SecretId=cluster["MasterUserSecret"]["SecretArn"])
    secret = json.loads(value["SecretString"])
    return run(
        *statements, host=cluster["Endpoint"], port=cluster["Port"], dbname=database,
        user=secret["username"], password=secret["password"],
    )  # fmt: skip


def run(*statements: str, **login: Any) -> list[tuple[Any, ...]]:
    """Run statements in a session of their own, and return the last one's rows."""
    with contextlib.closing(psycopg2.connect(**login)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
