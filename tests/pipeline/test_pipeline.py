"""A pipeline's actions run in their order, as the project's role, and stop at the first failure."""

import contextlib
import io
import json
import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.codebuild.pipeline import ask, run_pipeline
from local.errors import LocalError
from tests.aws import trusting

ACCOUNT = "000000000000"
REGION = "eu-central-1"

# Writes down who it is: the credentials come from the container endpoint only.
BUILDSPEC = """
version: 0.2
env: {{exported-variables: [TOLD]}}
phases:
  build:
    commands:
      - export TOLD="$WHAT"
      - echo "$WHAT $RUN_ID" >> {folder}/ran
      - test "$WHAT" != fail
      - test -z "${{AWS_ACCESS_KEY_ID:-}}"
      - ls "$CODEBUILD_SRC_DIR" > {folder}/primary
      - ls "${{CODEBUILD_SRC_DIR_source:-.}}" > {folder}/other
      - cd {folder}
      - {python} -c "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])" > who
"""


BUCKET = "test-line-artifacts"
# What AWS documents for the roles of a pipeline and of its builds, on the bucket and its objects.
PIPELINES = (
    {"s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning"},
    {"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"},
)
BUILDS = ({"s3:GetBucketAcl", "s3:GetBucketLocation"}, {"s3:GetObject", "s3:GetObjectVersion"})


def policy(of_bucket, of_objects, bucket=BUCKET):
    arn = f"arn:aws:s3:::{bucket}"
    both = ((of_bucket, arn), (of_objects, f"{arn}/*"))
    statements = [
        {"Effect": "Allow", "Action": sorted(actions), "Resource": resource}
        for actions, resource in both
        if actions
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@contextlib.contextmanager
def service_role(stack, name, service, source, document):
    """Make a role that trusts a service for one resource, with a policy."""
    iam = stack.client("iam")
    arn = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps(trusting(service, source))
    )["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
    yield arn
    for kept in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=kept)
    iam.delete_role(RoleName=name)


@pytest.fixture(scope="module")
def bucket(stack):
    """The bucket of artifacts, with versions as ours has them."""
    s3 = stack.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield
    versions = s3.list_object_versions(Bucket=BUCKET)["Versions"]
    for one in versions:
        s3.delete_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])
    s3.delete_bucket(Bucket=BUCKET)


@pytest.fixture(scope="module")
def role(stack, bucket):
    """A service role that trusts CodeBuild for the test's own project only."""
    source = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/test-line"
    service = "codebuild.amazonaws.com"
    with service_role(stack, "test-line", service, source, policy(*BUILDS)) as arn:
        yield arn


@pytest.fixture(scope="module")
def runs(stack, bucket):
    """The pipeline's role."""
    source = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:test-line"
    service = "codepipeline.amazonaws.com"
    with service_role(stack, "runs", service, source, policy(*PIPELINES)) as arn:
        yield arn


@pytest.fixture
def project(stack, role, tmp_path):
    """Make a CodeBuild project; delete it after the test."""
    codebuild = stack.client("codebuild")
    made = []
    text = BUILDSPEC.format(python=sys.executable, folder=tmp_path)

    def make(name="test-line", **more):
        codebuild.create_project(
            name=name, serviceRole=role, **more,
            source={"type": "CODEPIPELINE", "buildspec": text},
            artifacts={"type": "CODEPIPELINE"},
            environment={
                "type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL",
            },
        )  # fmt: skip
        made.append(name)
        return name

    yield make
    for name in made:
        codebuild.delete_project(name=name)


@pytest.fixture
def pipeline(stack, runs):
    """Make a pipeline of the given actions after its source; delete it after the test."""
    codepipeline = stack.client("codepipeline")

    def make(*actions, after=(), also=()):
        source = action("Source", "Source", "CodeCommit", RepositoryName="r", BranchName="main")
        source["outputArtifacts"] = [{"name": "source"}]
        codepipeline.create_pipeline(
            pipeline={
                "name": "test-line",
                "roleArn": runs,
                "artifactStore": {"type": "S3", "location": BUCKET},
                "stages": [
                    {"name": "Source", "actions": [source, *also]},
                    {"name": "Test", "actions": list(actions)},
                    *after,
                ],
            }
        )

    yield make
    codepipeline.delete_pipeline(name="test-line")


def action(name, category, provider, order=1, **configuration):
    return {
        "name": name,
        "actionTypeId": {
            "category": category,
            "owner": "AWS",
            "provider": provider,
            "version": "1",
        },
        "runOrder": order,
        "configuration": configuration,
    }


def build(name, project, order=1, **variables):
    listed = [{"name": key, "value": value} for key, value in variables.items()]
    made = action(
        name, "Build", "CodeBuild", order,
        ProjectName=project, EnvironmentVariables=json.dumps(listed),
    )  # fmt: skip
    return {**made, "inputArtifacts": [{"name": "source"}]}


def run(stack, folder, **options):
    return run_pipeline(stack, "test-line", account=ACCOUNT, source=folder, **options)


def test_actions_run_in_order_as_the_projects_role(stack, project, pipeline, tmp_path):
    name = project()
    pipeline(
        build("Second", name, 2, WHAT="second"),
        build("First", name, 1, WHAT="first", RUN_ID="#{codepipeline.PipelineExecutionId}-x"),
    )
    assert run(stack, tmp_path)
    first, second = (tmp_path / "ran").read_text().splitlines()
    assert first.startswith("first ")
    assert first.endswith("-x")
    assert len(first) > len("first -x")
    assert second == "second "
    assert ":assumed-role/test-line/AWSCodeBuild-" in (tmp_path / "who").read_text()


def test_nothing_runs_after_a_failed_action(stack, project, pipeline, tmp_path):
    name = project()
    pipeline(build("First", name, 1, WHAT="fail"), build("Second", name, 2, WHAT="second"))
    assert not run(stack, tmp_path)
    assert (tmp_path / "ran").read_text() == "fail \n"


@pytest.mark.parametrize("answer", [True, False])
def test_an_approval_decides_whether_the_rest_runs(stack, project, pipeline, tmp_path, answer):
    asked = []
    pipeline(
        action("Approve", "Approval", "Manual", 1, CustomData="Deploy?"),
        build("Build", project(), 2, WHAT="approved"),
    )
    assert run(stack, tmp_path, approve=lambda text: asked.append(text) or answer) == answer
    assert asked == ["Deploy?"]
    assert (tmp_path / "ran").exists() == answer


@pytest.mark.parametrize("what", ["x", "fail"])
def test_how_an_execution_ended_is_told(stack, project, pipeline, tmp_path, what):
    pipeline(build("Build", project(), WHAT=what))
    green = run(stack, tmp_path)
    assert last(stack) == ("Succeeded" if green else "Failed")


def last(stack):
    found = stack.client("codepipeline").list_pipeline_executions(pipelineName="test-line")
    return found["pipelineExecutionSummaries"][0]["status"]


def test_what_changes_the_pipeline_ends_the_execution(stack, project, pipeline, tmp_path):
    client = stack.client("codepipeline")
    pipeline(
        action("Approve", "Approval", "Manual", 1, CustomData="Deploy?"),
        build("Build", project(), 2, WHAT="approved"),
    )

    def approve(_):
        client.update_pipeline(pipeline=client.get_pipeline(name="test-line")["pipeline"])
        return True

    assert not run(stack, tmp_path, approve=approve)
    assert last(stack) == "Cancelled"
    assert not (tmp_path / "ran").exists()


def test_a_build_above_the_limit_of_its_project_fails_and_does_not_wait(
    stack, project, pipeline, tmp_path, capsys
):
    pipeline(build("Build", project(concurrentBuildLimit=1), WHAT="x"))
    for name in ("ran", "primary"):  # who writes there waits until it is read
        os.mkfifo(tmp_path / name)
    source = tmp_path / "source"
    source.mkdir()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(run, stack, source)
        assert (tmp_path / "ran").read_text() == "x \n"
        assert not run(stack, source)
        (tmp_path / "primary").read_text()
        assert first.result()
    assert "test-line runs 1 at once already" in capsys.readouterr().err


def test_only_the_named_actions_run(stack, project, pipeline, tmp_path):
    name = project()
    pipeline(build("First", name, 1, WHAT="first"), build("Second", name, 2, WHAT="second"))
    assert run(stack, tmp_path, only={"Second"})
    assert (tmp_path / "ran").read_text() == "second \n"


def test_a_role_that_does_not_trust_the_project_gives_no_credentials(
    stack, project, pipeline, tmp_path
):
    pipeline(build("Build", project("test-other"), WHAT="x"))
    assert not run(stack, tmp_path)
    assert not (tmp_path / "ran").exists()


@contextlib.contextmanager
def without(stack, role, kinds, missing):
    """Take one action out of a role's policy, and give it back however that goes."""
    iam = stack.client("iam")
    less = policy(*(kind - {missing} for kind in kinds))
    iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=less)
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=policy(*kinds))


@pytest.mark.parametrize("missing", sorted(BUILDS[0] | BUILDS[1]))
def test_a_build_whose_role_lacks_what_a_source_takes_fails_before_its_first_command(
    stack, project, pipeline, tmp_path, missing
):
    pipeline(build("Build", project(), WHAT="x"))
    with without(stack, "test-line", BUILDS, missing):
        assert not run(stack, tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("missing", sorted(PIPELINES[0] | {"s3:PutObject"}))
def test_a_pipeline_whose_role_lacks_what_an_artifact_takes_has_no_source(
    stack, project, pipeline, tmp_path, missing
):
    pipeline(build("Build", project(), WHAT="x"))
    with without(stack, "runs", PIPELINES, missing):
        assert not run(stack, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_reference_to_nothing_is_refused(stack, project, pipeline, tmp_path):
    pipeline(build("Build", project(), WHAT="#{Source.CommitId}"))
    with pytest.raises(LocalError, match=r"#\{Source.CommitId\}, which nothing sets"):
        run(stack, tmp_path)


def test_a_missing_pipeline_or_project_is_said_with_the_way_out(stack, pipeline, tmp_path):
    with pytest.raises(LocalError, match=r"no pipeline nowhere: run ansible-playbook"):
        run_pipeline(stack, "nowhere", account=ACCOUNT, source=tmp_path)
    pipeline(build("Build", "nothing", WHAT="x"))
    with pytest.raises(LocalError, match="has no project nothing"):
        run(stack, tmp_path)


def test_an_approval_shows_what_an_earlier_action_exported(stack, project, pipeline, tmp_path):
    asked = []
    told = {**build("Plan", project(), 1, WHAT="two files"), "namespace": "TestPlan"}
    shown = action(
        "Approve", "Approval", "Manual", 2,
        CustomData="Deploy #{TestPlan.TOLD}?", ExternalEntityLink="https://example.com/",
    )  # fmt: skip
    pipeline(told, shown)
    assert run(stack, tmp_path, approve=lambda text: asked.append(text) or True)
    assert asked == ["Deploy two files? https://example.com/"]


@pytest.mark.parametrize("case", [("SKIP", "0"), ("FAIL", "0"), ("SKIP", "2")], ids="-".join)
def test_a_condition_that_is_not_met_skips_or_fails_its_stage(
    stack, project, pipeline, tmp_path, case
):
    result, told = case
    name = project()
    rule = {
        "name": "Pending",
        "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "VariableCheck"},
        "configuration": {"Variable": "#{TestPlan.TOLD}", "Value": "0", "Operator": "NE"},
    }
    entry = {"conditions": [{"result": result, "rules": [rule]}]}
    last = {"name": "Last", "actions": [build("Last", name, 1, WHAT="x")], "beforeEntry": entry}
    pipeline({**build("Plan", name, 1, WHAT=told), "namespace": "TestPlan"}, after=[last])
    assert run(stack, tmp_path) == (result == "SKIP")
    assert len((tmp_path / "ran").read_text().splitlines()) == (1 if told == "0" else 2)


@pytest.fixture(params=["test-second", "test-third"])
def second(stack, runs, request):
    """Tell whether the pipeline may start `test-second`, and which role that one has."""
    arn = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}"
    may = {"Effect": "Allow", "Action": "codepipeline:StartPipelineExecution"}
    document = {"Version": "2012-10-17", "Statement": {**may, "Resource": f"{arn}:{request.param}"}}
    iam, service = stack.client("iam"), "codepipeline.amazonaws.com"
    iam.put_role_policy(RoleName="runs", PolicyName="starts", PolicyDocument=json.dumps(document))
    with service_role(stack, "second", service, f"{arn}:test-second", policy(*PIPELINES)) as role:
        yield request.param == "test-second", role
    iam.delete_role_policy(RoleName="runs", PolicyName="starts")


def test_a_pipeline_starts_another_as_its_role_may(stack, project, pipeline, second, tmp_path):
    allowed, role = second
    told = {**build("Plan", project(), 1, WHAT="two"), "namespace": "TestPlan"}
    given = json.dumps([{"name": "GIVEN", "value": "#{TestPlan.TOLD} files"}])
    start = action(
        "Start", "Invoke", "CodePipeline", 2, PipelineName="test-second", Variables=given
    )
    pipeline(told, start)
    client = stack.client("codepipeline")
    first = client.get_pipeline(name="test-line")["pipeline"]
    approve = action("Approve", "Approval", "Manual", 1, CustomData="#{variables.GIVEN}")
    stages = [first["stages"][0], {"name": "Approve", "actions": [approve]}]
    other = {**first, "name": "test-second", "roleArn": role, "stages": stages}
    client.create_pipeline(pipeline=other)
    asked = []
    green = run(stack, tmp_path, approve=lambda text: asked.append(text) or True)
    client.delete_pipeline(name="test-second")
    assert (green, asked) == ((True, ["two files"]) if allowed else (False, []))


def test_a_value_that_codepipeline_would_refuse_is_refused(stack, project, pipeline, tmp_path):
    pipeline(
        {**build("Plan", project(), 1, WHAT="x" * 900), "namespace": "TestPlan"},
        action("Approve", "Approval", "Manual", 2, CustomData="y" * 200 + "#{TestPlan.TOLD}"),
    )
    with pytest.raises(LocalError, match="longer than the 1000 characters"):
        run(stack, tmp_path, approve=lambda _: True)


@pytest.fixture
def planner(stack, runs):
    """A source that is an object of S3, which the pipeline's role may read."""
    iam, s3 = stack.client("iam"), stack.client("s3")
    may = policy((), {"s3:GetObject"}, "planners")
    iam.put_role_policy(RoleName="runs", PolicyName="planner", PolicyDocument=may)
    s3.create_bucket(Bucket="planners", CreateBucketConfiguration={"LocationConstraint": REGION})
    everything = {"Effect": "Deny", "Principal": "*", "Action": "s3:*"}
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    closed = {**everything, "Resource": "arn:aws:s3:::planners/*", "Condition": plain}
    tls = json.dumps({"Version": "2012-10-17", "Statement": closed})
    s3.put_bucket_policy(Bucket="planners", Policy=tls)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("planner", "")
    s3.put_object(Bucket="planners", Key="one.zip", Body=buffer.getvalue())
    source = action("Planner", "Source", "S3", S3Bucket="planners", S3ObjectKey="one.zip")
    yield {**source, "outputArtifacts": [{"name": "planner"}]}
    s3.delete_object(Bucket="planners", Key="one.zip")
    s3.delete_bucket(Bucket="planners")
    iam.delete_role_policy(RoleName="runs", PolicyName="planner")


def test_a_build_of_two_sources_works_in_the_primary_one(
    stack, project, pipeline, planner, tmp_path
):
    (tmp_path / "pushed").touch()
    two = build("Plan", project(), WHAT="x")
    two["inputArtifacts"] = [{"name": "source"}, {"name": "planner"}]
    two["configuration"]["PrimarySource"] = "planner"
    pipeline(two, also=[planner])
    assert run(stack, tmp_path)
    primary, other = ((tmp_path / n).read_text().split() for n in ("primary", "other"))
    assert ("planner" in primary, "pushed" in primary) == (True, False)
    assert ("planner" in other, "pushed" in other) == (False, True)


def test_which_of_two_sources_is_the_primary_one_must_be_said(
    stack, project, pipeline, planner, tmp_path
):
    two = build("Plan", project(), WHAT="x")
    two["inputArtifacts"] = [{"name": "source"}, {"name": "planner"}]
    pipeline(two, also=[planner])
    with pytest.raises(LocalError, match="PrimarySource is none of source, planner"):
        run(stack, tmp_path)


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_a_variable_answers_where_nobody_can(monkeypatch, answer):
    monkeypatch.setenv("APPROVE", answer)
    assert ask("Deploy?") == (answer == "yes")


def test_where_nobody_can_be_asked_it_is_approved_and_said(monkeypatch, capsys):
    monkeypatch.delenv("APPROVE", raising=False)
    assert ask("Deploy?")
    assert "nobody is at a terminal" in capsys.readouterr().err
