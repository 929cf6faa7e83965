"""Texts that AWS documents to refuse are refused, and named with what AWS takes."""

from typing import Any

import botocore.exceptions
import botocore.session
import pytest

from local.emulator.texts import RULES, refused
from local.stack import Stack

ACCOUNT = "121212121212"


@pytest.mark.parametrize(
    ("service", "operation", "params", "field"),
    [
        ("ec2", "CreateSecurityGroup", {"GroupName": "a", "Description": "AWS's"}, "Description"),
        ("ec2", "CreateSecurityGroup", {"GroupName": "sg-a"}, "GroupName"),
        ("ec2", "CreateTags", {"Tags": [{"Key": "aws:a", "Value": ""}]}, "Tags.Key"),
        ("ec2", "CreateTags", {"Tags": [{"Key": "a", "Value": "b" * 257}]}, "Tags.Value"),
        ("sns", "CreateTopic", {"Tags": [{"Key": "Owner", "Value": "R&D"}]}, "Tags.Value"),
        ("ec2", "CreateTags", {"Tags": [{"Key": "a" * 128, "Value": ""}]}, "Tags.Key"),
        ("ec2", "CreateVpc", {"TagSpecification.1.Tag.1.Key": "aws:b"}, ".Tag.Key"),
        ("kms", "CreateKey", {"Tags": [{"TagKey": "a;b", "TagValue": ""}]}, "Tags.TagKey"),
        ("lambda", "CreateFunction", {"Tags": {"Owner": "a, b"}}, "Tags.Value"),
        ("lambda", "CreateFunction", {"FunctionName": "f" * 65}, "FunctionName"),
        ("iam", "CreateRole", {"Tags.member.1.Key": "a*"}, "Tags.Key"),
        ("iam", "CreateRole", {"AssumeRolePolicyDocument": "x" * 2049}, "AssumeRole"),
        ("iam", "CreatePolicy", {"PolicyDocument": "x" * 6145}, "PolicyDocument"),
        ("rds", "CreateDBCluster", {"Tags.Tag.1.Key": "rds:a"}, "Tags.Tag.Key"),
        ("rds", "CreateDBCluster", {"DBClusterIdentifier": "shop--dev"}, "DBClusterIdentifier"),
        ("rds", "CreateDBCluster", {"DBClusterIdentifier": "shop-"}, "DBClusterIdentifier"),
        ("rds", "CreateDBCluster", {"MasterUsername": "the_master"}, "MasterUsername"),
        ("rds", "CreateDBCluster", {"DatabaseName": "my-shop"}, "DatabaseName"),
        ("rds", "CreateDBCluster", {"PreferredBackupWindow": "2:00-3:00"}, "BackupWindow"),
        ("rds", "CreateDBInstance", {"PreferredMaintenanceWindow": "sun"}, "MaintenanceWindow"),
        ("rds", "CreateDBInstance", {"DBName": "1shop"}, "DBName"),
        ("rds", "DeleteDBCluster", {"FinalDBSnapshotIdentifier": "1-end"}, "FinalDBSnapshot"),
        ("sns", "CreateTopic", {"Name": "a.b"}, "Name"),
        ("monitoring", "PutMetricAlarm", {"AlarmName": "a\nb"}, "AlarmName"),
        ("monitoring", "PutMetricAlarm", {"Dimensions": [{"Value": "Büro"}]}, "Dimensions.Value"),
        ("kms", "CreateAlias", {"AliasName": "alias/aws/rds"}, "AliasName"),
        ("s3", "CreateBucket", {"Bucket": "Shop"}, "Bucket"),
        ("codecommit", "CreateRepository", {"repositoryName": "shop.git"}, "repositoryName"),
    ],
)
def test_a_text_is_refused_that_aws_refuses(
    service: str, operation: str, params: dict[str, Any], field: str
) -> None:
    (said,) = refused(service, operation, params)
    assert field in said.partition(": ")[0]


@pytest.mark.parametrize(
    ("service", "operation", "params"),
    [
        ("ec2", "CreateSecurityGroup", {"GroupName": "a", "Description": "AWS, ours (both): 1/2"}),
        ("ec2", "DescribeVpcs", {"Filter.1.Value.1": "it's"}),
        ("ec2", "CreateTags", {"Tags": [{"Key": "Größe", "Value": "R&D"}]}),
        ("kms", "CreateKey", {"Tags": [{"TagKey": "Größe", "TagValue": "a: b/c"}]}),
        ("rds", "CreateDBCluster", {"DBClusterIdentifier": "shop-dev", "DatabaseName": "shop"}),
        ("rds", "ModifyDBCluster", {"PreferredMaintenanceWindow": "sun:03:00-sun:04:00"}),
        ("lambda", "CreateFunction", {"Description": "it's ours", "Tags": {"Owner": "a@b.c"}}),
    ],
)
def test_a_text_is_taken_that_aws_takes(
    service: str, operation: str, params: dict[str, Any]
) -> None:
    assert refused(service, operation, params) == []


@pytest.mark.parametrize(
    "place",
    sorted({p for r in RULES if r.source.startswith("model: ") for p in [r.source[7:]]}),
)
def test_what_the_rule_cites_is_in_awss_model(place: str) -> None:
    service, _, members = place.partition(" ")
    model = botocore.session.get_session().get_service_model(service)
    for member in members.split(", "):
        shape, _, name = member.partition(".")
        assert not name or model.shape_for(shape).members[name].documentation


def test_the_emulator_refuses_and_makes_nothing(stack: Stack) -> None:
    ec2 = stack.client("ec2", ACCOUNT)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidParameterValue") as error:
        ec2.create_security_group(GroupName="shop", Description="AWS's", VpcId=vpc)
    assert '"AWS\'s" is not 1 to 255 of a-z' in str(error.value)
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    (default,) = ec2.describe_security_groups(Filters=here)["SecurityGroups"]
    assert default["GroupName"] == "default"


def test_the_emulator_refuses_in_each_protocol(stack: Stack) -> None:
    tag = {"Key": "Owner", "Value": "R&D"}
    for service, operation, request in (
        ("sns", "create_topic", {"Name": "shop", "Tags": [tag]}),
        ("kms", "create_key", {"Tags": [{"TagKey": "Owner", "TagValue": "R&D"}]}),
        ("lambda", "tag_resource", {"Resource": f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:f",
                                    "Tags": {"Owner": "R&D"}}),
        ("cloudwatch", "put_metric_alarm", {"AlarmName": "a", "EvaluationPeriods": 1,
                                            "ComparisonOperator": "LessThanThreshold",
                                            "Tags": [tag]}),
    ):  # fmt: skip
        with pytest.raises(botocore.exceptions.ClientError, match="R&D"):
            getattr(stack.client(service, ACCOUNT), operation)(**request)
