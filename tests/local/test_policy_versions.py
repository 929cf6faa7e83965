"""Of a managed policy the version counts that is the default one, whoever made it so."""

import json

import pytest
from botocore.exceptions import ClientError

from local.stack import Stack


def policy(action: str) -> str:
    allowed = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


def test_another_version_counts_when_it_is_made_the_default_one(stack: Stack) -> None:
    iam = stack.client("iam")
    arn = iam.create_policy(PolicyName="versions", PolicyDocument=policy("s3:*"))["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy("ec2:*"), SetAsDefault=False)
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v2"
    counted = {
        version["VersionId"]: version["IsDefaultVersion"]
        for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]
    }
    assert counted == {"v1": False, "v2": True}
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.set_default_policy_version(PolicyArn=arn, VersionId="v3")
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)
