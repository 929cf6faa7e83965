"""Report groups are made by a build's role, for its own project only, and outlive the build."""

import json

import botocore.exceptions
import pytest

from local.stack import Stack
from tests.playbooks.identities import acting
from tests.policies.rendered import ROOT, rendered

ACCOUNT = "111122223333"  # the one of the rendered policies
GROUP = {"type": "TEST", "exportConfig": {"exportConfigType": "NO_EXPORT"}}


def test_a_builds_role_makes_the_groups_of_its_project_only(stack: Stack) -> None:
    iam = stack.client("iam", ACCOUNT)
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    trust = [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    iam.create_role(RoleName="reporting", AssumeRolePolicyDocument=document)
    policy = rendered(ROOT / "roles/pipeline_account/templates/build.yml.j2", "dev")
    document = json.dumps({"Version": "2012-10-17", "Statement": policy.statements})
    iam.put_role_policy(RoleName="reporting", PolicyName="work", PolicyDocument=document)
    build = acting(stack, "codebuild", ACCOUNT, "reporting")
    own = build.create_report_group(name="schema-migrations-deploy-dev-migrations", **GROUP)
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        build.create_report_group(name="schema-migrations-deploy-prod-migrations", **GROUP)
    api = stack.client("codebuild", ACCOUNT)
    assert api.list_report_groups()["reportGroups"] == [own["reportGroup"]["arn"]]
    api.delete_report_group(arn=own["reportGroup"]["arn"])
    iam.delete_role_policy(RoleName="reporting", PolicyName="work")
    iam.delete_role(RoleName="reporting")
