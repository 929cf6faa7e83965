"""CodePipeline's limits hold of what is made here as well."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.stack import Stack


def pipeline(name: str, said: str) -> dict[str, Any]:
    """Return a pipeline whose approval says something."""
    source = {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}
    approval = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
    where = {"S3Bucket": "shop", "S3ObjectKey": "shop.zip"}
    return {
        "name": name,
        "roleArn": "arn:aws:iam::000000000000:role/any",
        "artifactStore": {"type": "S3", "location": "shop"},
        "stages": [
            {"name": "Source", "actions": [
                {"name": "S3", "actionTypeId": source, "configuration": where,
                 "outputArtifacts": [{"name": "source"}]}]},
            {"name": "Prod", "actions": [
                {"name": "Approve", "actionTypeId": approval,
                 "configuration": {"CustomData": said}}]},
        ],
    }  # fmt: skip


def test_value_of_an_actions_configuration_has_a_thousand_characters_at_most(stack: Stack) -> None:
    client = stack.client("codepipeline")
    with pytest.raises(ClientError, match="CustomData of Approve in Prod has 1001 characters"):
        client.create_pipeline(pipeline=pipeline("long", 1001 * "x"))
    assert "long" not in str(client.list_pipelines()["pipelines"])
    client.create_pipeline(pipeline=pipeline("long", 1000 * "x"))
    with pytest.raises(ClientError, match="1001 characters"):
        client.update_pipeline(pipeline=pipeline("long", 1001 * "x"))
    client.delete_pipeline(name="long")
