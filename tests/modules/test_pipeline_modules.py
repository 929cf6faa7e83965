"""What somebody added to a pipeline or a build project by hand is noticed, said and taken out."""

import copy
from typing import Any

import pytest

from local.stack import Stack
from tests.modules.harness import Module

ROLE = "arn:aws:iam::000000000000:role/shop-pipeline"
KEY = "arn:aws:kms:eu-central-1:000000000000:alias/shop"
PIPELINE = {
    "name": "shop",
    "role": ROLE,
    "bucket": "shop-artifacts",
    "kms_key": KEY,
    "stages": [
        {
            "name": "Source",
            "actions": [
                {
                    "name": "Source",
                    "actionTypeId": {
                        "category": "Source",
                        "owner": "AWS",
                        "provider": "CodeCommit",
                        "version": "1",
                    },
                    "configuration": {"RepositoryName": "shop", "BranchName": "main"},
                    "outputArtifacts": [{"name": "source"}],
                    "runOrder": 1,
                }
            ],
        },
        {
            "name": "Build",
            "actions": [
                {
                    "name": "Build",
                    "actionTypeId": {
                        "category": "Build",
                        "owner": "AWS",
                        "provider": "CodeBuild",
                        "version": "1",
                    },
                    "configuration": {"ProjectName": "shop"},
                    "inputArtifacts": [{"name": "source"}],
                    "runOrder": 1,
                }
            ],
        },
    ],
}
PROJECT = {"name": "shop", "role": ROLE, "kms_key": KEY, "log_group": "/aws/codebuild/shop"}


@pytest.fixture
def meddled_pipeline(stack: Stack, module: Module) -> Any:
    """Give a client of CodePipeline, whose pipeline has a key more than we wrote."""
    module("codepipeline", **PIPELINE)
    api = stack.client("codepipeline", "000000000000")
    pipeline = copy.deepcopy(api.get_pipeline(name="shop")["pipeline"])
    pipeline["stages"][1]["actions"][0]["configuration"]["PrimarySource"] = "other"
    api.update_pipeline(pipeline=pipeline)
    return api


def configuration(api: Any) -> dict[str, str]:
    """Return the configuration of the pipeline's build."""
    stage = api.get_pipeline(name="shop")["pipeline"]["stages"][1]
    return dict(stage["actions"][0]["configuration"])


def test_a_pipeline_as_written_is_left_alone(module: Module) -> None:
    module("codepipeline", **PIPELINE)
    assert module("codepipeline", **PIPELINE)["changed"] is False


def test_a_foreign_key_in_an_action_is_taken_out(meddled_pipeline: Any, module: Module) -> None:
    assert module("codepipeline", **PIPELINE)["changed"] is True
    assert configuration(meddled_pipeline) == {"ProjectName": "shop"}


def test_check_mode_says_the_foreign_key_and_leaves_it(
    meddled_pipeline: Any, module: Module
) -> None:
    outcome = module("codepipeline", check=True, **PIPELINE)
    assert outcome["changed"] is True
    assert outcome.takes_out("PrimarySource")
    assert "PrimarySource" in configuration(meddled_pipeline)


@pytest.mark.parametrize("check", [False, True])
def test_a_pipeline_is_not_changed_under_an_execution(
    stack: Stack, meddled_pipeline: Any, module: Module, check: bool
) -> None:
    identity = meddled_pipeline.start_pipeline_execution(name="shop")["pipelineExecutionId"]
    outcome = module("codepipeline", check=check, **PIPELINE)
    found = meddled_pipeline.get_pipeline_execution(
        pipelineName="shop", pipelineExecutionId=identity
    )
    meddled_pipeline.put_job_success_result(jobId=identity)
    assert (outcome.failed, outcome.changed) == (not check, check)
    assert check or f"execution {identity} is under way" in outcome.message
    assert found["pipelineExecution"]["status"] == "InProgress"
    assert "PrimarySource" in configuration(meddled_pipeline)


def test_a_pipeline_is_idle_when_nothing_is_under_way(
    meddled_pipeline: Any, module: Module
) -> None:
    identity = meddled_pipeline.start_pipeline_execution(name="shop")["pipelineExecutionId"]
    outcome = module("codepipeline", name="shop", state="idle")
    assert (outcome.failed, identity in outcome.message) == (True, True)
    meddled_pipeline.stop_pipeline_execution(pipelineName="shop", pipelineExecutionId=identity)
    for name in ("shop", "not-there-yet"):
        outcome = module("codepipeline", name=name, state="idle")
        assert (outcome.failed, outcome.changed) == (False, False)


@pytest.fixture
def meddled_project(stack: Stack, module: Module) -> Any:
    """Give a client of CodeBuild, whose project has an environment variable of its own."""
    module("codebuild_project", **PROJECT)
    api = stack.client("codebuild", "000000000000")
    (project,) = api.batch_get_projects(names=["shop"])["projects"]
    variable = {"name": "ENVIRONMENT", "value": "prod", "type": "PLAINTEXT"}
    api.update_project(
        name="shop", environment={**project["environment"], "environmentVariables": [variable]}
    )
    return api


def variables(api: Any) -> list[dict[str, str]]:
    """Return the environment variables of the project."""
    (project,) = api.batch_get_projects(names=["shop"])["projects"]
    return list(project["environment"].get("environmentVariables", []))


def test_a_project_as_written_is_left_alone(module: Module) -> None:
    module("codebuild_project", **PROJECT)
    assert module("codebuild_project", **PROJECT)["changed"] is False


def test_a_variable_of_the_project_itself_is_taken_out(
    meddled_project: Any, module: Module
) -> None:
    assert module("codebuild_project", **PROJECT)["changed"] is True
    assert variables(meddled_project) == []


def test_check_mode_says_the_variable_and_leaves_it(meddled_project: Any, module: Module) -> None:
    outcome = module("codebuild_project", check=True, **PROJECT)
    assert outcome["changed"] is True
    assert outcome.takes_out("ENVIRONMENT")
    assert len(variables(meddled_project)) == 1


def test_a_limit_that_is_no_longer_asked_for_is_lifted(stack: Stack, module: Module) -> None:
    module("codebuild_project", **PROJECT, concurrent=1)
    assert module("codebuild_project", **PROJECT)["changed"] is True
    assert module("codebuild_project", **PROJECT)["changed"] is False


def test_a_project_of_its_own_is_as_written_and_follows_its_settings(
    stack: Stack, module: Module
) -> None:
    own = {
        "name": "alone",
        "steps": "version: '0.2'\n",
        "role": PROJECT["role"],
        "vpc_id": "vpc-1",
        "subnets": ["subnet-2", "subnet-1"],
        "security_groups": ["sg-1"],
        "environment": {"PGPORT": 5432, "PGHOST": "h"},
        "timeout": 480,
    }
    assert module("codebuild_project", **own).changed
    assert not module("codebuild_project", **own).changed
    assert not module("codebuild_project", check=True, **own).changed
    assert module("codebuild_project", **{**own, "environment": {"PGHOST": "other"}}).changed
    assert module("codebuild_project", **{**own, "subnets": ["subnet-1"]}).changed
    api = stack.client("codebuild", "000000000000")
    (project,) = api.batch_get_projects(names=["alone"])["projects"]
    assert (project["source"]["type"], project["vpcConfig"]["subnets"]) == (
        "NO_SOURCE",
        ["subnet-1"],
    )
    api.delete_project(name="alone")


def test_a_projects_reports_go_with_it(stack: Stack, module: Module) -> None:
    api = stack.client("codebuild", "000000000000")
    module("codebuild_project", **PROJECT)
    for name in ("shop-migrations", "shop-migrations-of-others"):
        api.create_report_group(
            name=name, type="TEST", exportConfig={"exportConfigType": "NO_EXPORT"}
        )
    gone = {"name": "shop", "reports": ["migrations", "never-made"], "state": "absent"}
    assert module("codebuild_project", **gone).changed
    (left,) = api.list_report_groups()["reportGroups"]
    assert left.endswith("report-group/shop-migrations-of-others")
    api.delete_report_group(arn=left)
    assert not module("codebuild_project", **gone).changed
