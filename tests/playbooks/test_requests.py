"""What the plays ask of AWS is what AWS accepts, where an emulator would let it pass.

Which combinations AWS wants is said in the documentation of each operation, which botocore carries.
"""

import json
import re
from typing import Any

import botocore.session
import pytest

from local.emulator.texts import refused
from tests.playbooks.model import problems
from tests.playbooks.plays import Play, Playbooks, Request

Asked = list[Request]
OF_THE_CLUSTER = {
    "AllocatedStorage",
    "BackupRetentionPeriod",
    "DBName",
    "DBSubnetGroupName",
    "DeletionProtection",
    "KmsKeyId",
    "ManageMasterUserPassword",
    "MasterUsername",
    "StorageEncrypted",
}
ENVIRONMENT_LIMIT = 4096  # bytes of a function's variables


@pytest.fixture(scope="session")
def asked(
    second: dict[str, Play], changed: list[Play], destroyed: Play, playbook: Playbooks
) -> Asked:
    """Give every request of the deployments, of the changes to one and of its end."""
    return playbook.requests()


def of(asked: Asked, service: str, *operations: str) -> list[dict[str, Any]]:
    """Return what was asked of these operations; there has to be something."""
    found = [r.params for r in asked if r.service == service and r.operation in operations]
    assert found, f"no play sends {service} {operations}"
    return found


def documentation(service: str, shape: str, member: str) -> str:
    """Return what AWS's model says of a parameter."""
    model = botocore.session.get_session().get_service_model(service)
    return str(model.shape_for(shape).members[member].documentation)


def test_every_request_fits_awss_model(asked: Asked) -> None:
    wrong = {
        f"{r.role}: {r.service} {r.operation} {problem}"
        for r in asked
        for problem in problems(r.service, r.operation, r.params)
    }
    assert wrong == set()


def test_no_request_has_a_text_that_aws_documents_to_refuse(asked: Asked) -> None:
    wrong = {
        f"{r.role}: {r.service} {r.operation} {problem}"
        for r in asked
        for problem in refused(r.service, r.operation, r.params)
    }
    assert wrong == set()


@pytest.mark.parametrize(
    ("service", "operation", "params", "reason"),
    [
        ("lambda", "GetFunction", {}, "Missing required parameter"),
        ("lambda", "PublishVersion", {"FunctionName": "a b"}, "does not match"),
        (
            "lambda",
            "UpdateFunctionConfiguration",
            {"FunctionName": "f", "MemorySize": 1},
            "between",
        ),
        ("lambda", "UpdateFunctionConfiguration", {"FunctionName": "f", "Runtime": "x"}, "none of"),
        ("logs", "CreateLogGroup", {"logGroupName": "g", "tags": {"": "v"}}, "between"),
    ],
)
def test_the_model_refuses(
    service: str, operation: str, params: dict[str, Any], reason: str
) -> None:
    assert any(reason in problem for problem in problems(service, operation, params))


def test_a_managed_password_comes_without_a_password(asked: Asked) -> None:
    for request in of(asked, "rds", "CreateDBCluster"):
        assert request["ManageMasterUserPassword"] is True
        assert "MasterUserPassword" not in request
        assert request["MasterUserSecretKmsKeyId"].startswith(("arn:aws:kms:", "alias/"))


def test_a_cluster_is_encrypted_with_a_key_of_ours(asked: Asked) -> None:
    for request in of(asked, "rds", "CreateDBCluster"):
        assert request["StorageEncrypted"] is True
        assert not request["KmsKeyId"].startswith("alias/aws/")


def test_serverless_capacity_is_what_version_2_takes(asked: Asked) -> None:
    for request in of(asked, "rds", "CreateDBCluster"):
        assert request.get("EngineMode", "provisioned") == "provisioned"
        scaling = request["ServerlessV2ScalingConfiguration"]
        least, most = scaling["MinCapacity"], scaling["MaxCapacity"]
        assert 0 <= least <= most <= 256
        assert (least * 2).is_integer()
        assert (most * 2).is_integer()
        assert most >= 1


def test_only_a_cluster_that_may_pause_says_when(asked: Asked) -> None:
    for request in of(asked, "rds", "CreateDBCluster"):
        scaling = request["ServerlessV2ScalingConfiguration"]
        assert ("SecondsUntilAutoPause" in scaling) == (scaling["MinCapacity"] == 0)
        assert 300 <= scaling.get("SecondsUntilAutoPause", 300) <= 86400


def test_extended_support_is_never_bought_unasked(asked: Asked) -> None:
    for request in of(asked, "rds", "CreateDBCluster"):
        assert request["EngineLifecycleSupport"] == "open-source-rds-extended-support-disabled"


def test_an_aurora_instance_leaves_to_its_cluster_what_is_the_clusters(asked: Asked) -> None:
    for request in of(asked, "rds", "CreateDBInstance"):
        if "DBClusterIdentifier" in request:
            assert request["DBInstanceClass"] == "db.serverless"
            assert not request.keys() & OF_THE_CLUSTER


def test_a_database_ends_with_a_snapshot_or_says_that_it_does_not(asked: Asked) -> None:
    for request in of(asked, "rds", "DeleteDBCluster"):
        assert request["SkipFinalSnapshot"] == ("FinalDBSnapshotIdentifier" not in request)


def test_logs_are_kept_for_a_time_that_cloudwatch_knows(asked: Asked) -> None:
    said = documentation("logs", "PutRetentionPolicyRequest", "retentionInDays")
    known = {int(number) for number in re.findall(r"\d+", said.partition("values are")[2])}
    assert {r["retentionInDays"] for r in of(asked, "logs", "PutRetentionPolicy")} <= known


def test_the_bastion_names_subnet_and_groups_with_its_interface_only(asked: Asked) -> None:
    for request in of(asked, "ec2", "RunInstances"):
        assert request["NetworkInterfaces"]
        assert not request.keys() & {"SubnetId", "SecurityGroupIds", "SecurityGroups"}


def test_the_bastions_disk_is_the_images_own_and_encrypted(asked: Asked) -> None:
    for request in of(asked, "ec2", "RunInstances"):
        (disk,) = request["BlockDeviceMappings"]
        assert disk["DeviceName"] == "/dev/xvda"  # of every Amazon Linux 2023 image
        assert disk["Ebs"]["Encrypted"] is True


def test_the_bastion_has_version_2_of_the_metadata_service_only(asked: Asked) -> None:
    for request in of(asked, "ec2", "RunInstances"):
        assert request["MetadataOptions"]["HttpTokens"] == "required"
        assert request["MetadataOptions"]["HttpPutResponseHopLimit"] == 1


@pytest.mark.parametrize(
    ("kind", "has", "has_not"),
    [
        ("Interface", {"SubnetIds", "SecurityGroupIds", "PrivateDnsEnabled"}, {"RouteTableIds"}),
        ("Gateway", {"RouteTableIds"}, {"SubnetIds", "SecurityGroupIds", "PrivateDnsEnabled"}),
    ],
)
def test_an_endpoint_has_what_its_kind_takes(
    asked: Asked, kind: str, has: set[str], has_not: set[str]
) -> None:
    requests = [r for r in of(asked, "ec2", "CreateVpcEndpoint") if r["VpcEndpointType"] == kind]
    assert requests
    for request in requests:
        assert has <= request.keys()
        assert not has_not & request.keys()


def test_every_endpoint_says_what_may_pass(asked: Asked) -> None:
    for request in of(asked, "ec2", "CreateVpcEndpoint"):
        statement, *files = json.loads(request["PolicyDocument"])["Statement"]
        if request["VpcEndpointType"] == "Gateway":
            assert statement["Resource"] == "arn:aws:s3:::al2023-repos-eu-central-1-de612dc2/*"
            assert files[0]["Resource"].startswith("arn:aws:s3:::schema-migrations-files-")
            assert files[0]["Condition"]["StringEquals"]["aws:PrincipalAccount"].isdigit()
        else:
            assert files == []
            assert statement["Condition"]["StringEquals"]["aws:PrincipalAccount"].isdigit()


def test_names_of_endpoints_resolve_inside_the_vpc(asked: Asked) -> None:
    attributes = of(asked, "ec2", "ModifyVpcAttribute")
    assert {"EnableDnsHostnames": {"Value": True}}.items() <= attributes[0].items()


def test_a_functions_variables_fit_and_are_not_lambdas_own(asked: Asked) -> None:
    for request in of(asked, "lambda", "CreateFunction"):
        variables = request["Environment"]["Variables"]
        assert sum(len(k) + len(v) for k, v in variables.items()) < ENVIRONMENT_LIMIT
        assert not [name for name in variables if name.startswith(("AWS_", "LAMBDA_", "_"))]


def test_a_function_runs_no_longer_than_lambda_lets_it(asked: Asked) -> None:
    for request in of(asked, "lambda", "CreateFunction"):
        assert request["Timeout"] <= 900


def test_a_pipeline_is_queued_and_of_version_2(asked: Asked) -> None:
    for request in of(asked, "codepipeline", "CreatePipeline", "UpdatePipeline"):
        pipeline = request["pipeline"]
        assert (pipeline["pipelineType"], pipeline["executionMode"]) == ("V2", "QUEUED")


def test_no_source_is_polled(asked: Asked) -> None:
    for request in of(asked, "codepipeline", "CreatePipeline", "UpdatePipeline"):
        for action in request["pipeline"]["stages"][0]["actions"]:
            if action["actionTypeId"]["provider"] == "CodeCommit":
                assert action["configuration"]["PollForSourceChanges"] == "false"


def test_builds_get_their_variables_as_json(asked: Asked) -> None:
    for request in of(asked, "codepipeline", "CreatePipeline", "UpdatePipeline"):
        actions = [a for s in request["pipeline"]["stages"] for a in s["actions"]]
        for action in actions:
            if action["actionTypeId"]["provider"] == "CodeBuild":
                variables = json.loads(action["configuration"]["EnvironmentVariables"])
                assert {frozenset(v) for v in variables} == {frozenset({"name", "value"})}


def test_no_stage_is_rolled_back_by_the_pipeline(asked: Asked) -> None:
    for request in of(asked, "codepipeline", "CreatePipeline", "UpdatePipeline"):
        assert not [s["name"] for s in request["pipeline"]["stages"] if "onFailure" in s]


def test_the_build_image_fits_its_processor(asked: Asked) -> None:
    for request in of(asked, "codebuild", "CreateProject"):
        arm = "aarch64" in request["environment"]["image"]
        assert request["environment"]["type"] == ("ARM_CONTAINER" if arm else "LINUX_CONTAINER")


def test_no_project_limits_its_builds(asked: Asked) -> None:
    """CodeBuild refuses what is above a limit, and the execution behind fails."""
    for request in of(asked, "codebuild", "CreateProject", "UpdateProject"):
        assert request.get("concurrentBuildLimit", -1) == -1


def test_the_trigger_may_start_the_pipeline_by_a_role(asked: Asked) -> None:
    for request in of(asked, "events", "PutTargets"):
        (target,) = request["Targets"]
        if request["Rule"].endswith("-trigger"):
            assert target["RoleArn"].endswith("-trigger")
        else:  # the topic's own policy lets the rule publish
            assert target["Arn"].endswith("-pipeline-alarms")


def test_rotation_is_left_to_rds(asked: Asked) -> None:
    for request in of(asked, "secretsmanager", "RotateSecret"):
        assert request["RotateImmediately"] is False
        assert "RotationLambdaARN" not in request
