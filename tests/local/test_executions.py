"""A pipeline starts when it is made, and loses what is under way when it is changed."""

from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Stack

SOURCES = {
    "CodeCommit": {"RepositoryName": "shop", "BranchName": "main"},
    "S3": {"S3Bucket": "shop", "S3ObjectKey": "shop.zip"},
}


def _action(category: str, provider: str, **configuration: str) -> dict[str, Any]:
    kind = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
    return {"name": category, "actionTypeId": kind, "configuration": configuration}


@pytest.fixture(params=SOURCES)
def pipeline(request: pytest.FixtureRequest, stack: Stack) -> Iterator[dict[str, Any]]:
    """Make a pipeline with a source of each kind."""
    source = _action("Source", request.param, **SOURCES[request.param])
    stages = [
        {"name": "Source", "actions": [{**source, "outputArtifacts": [{"name": "source"}]}]},
        {"name": "Approve", "actions": [_action("Approval", "Manual")]},
    ]
    pipeline = {
        "name": "executions",
        "roleArn": "arn:aws:iam::000000000000:role/any",
        "artifactStore": {"type": "S3", "location": "shop"},
        "stages": stages,
    }
    client = stack.client("codepipeline")
    client.create_pipeline(pipeline=pipeline)
    yield pipeline
    client.delete_pipeline(name="executions")


def statuses(stack: Stack) -> list[str]:
    """Return how the executions stand, the newest first."""
    client = stack.client("codepipeline")
    found = client.list_pipeline_executions(pipelineName="executions")
    return [summary["status"] for summary in found["pipelineExecutionSummaries"]]


@pytest.mark.parametrize(
    ("pipeline", "status"), [("CodeCommit", "Failed"), ("S3", "InProgress")], indirect=["pipeline"]
)
def test_a_new_pipeline_starts_and_finds_an_empty_repository(
    stack: Stack, pipeline: dict[str, Any], status: str
) -> None:
    assert statuses(stack) == [status]


@pytest.mark.parametrize("pipeline", ["S3"], indirect=True)
def test_a_change_cancels_what_is_under_way_and_nothing_else(
    stack: Stack, pipeline: dict[str, Any]
) -> None:
    client = stack.client("codepipeline")
    started = [client.start_pipeline_execution(name="executions") for _ in range(3)]
    ended = [execution["pipelineExecutionId"] for execution in started]
    client.put_job_success_result(jobId=ended[0])
    client.put_job_failure_result(
        jobId=ended[1], failureDetails={"type": "JobFailed", "message": "refused"}
    )
    client.stop_pipeline_execution(pipelineName="executions", pipelineExecutionId=ended[2])
    client.start_pipeline_execution(name="executions")
    client.update_pipeline(pipeline=pipeline)
    expected = ["Cancelled", "Stopped", "Failed", "Succeeded", "Cancelled"]
    assert statuses(stack) == expected
    client.put_job_success_result(jobId=ended[1])
    assert statuses(stack) == expected
