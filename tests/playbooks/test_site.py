"""What site.yml makes of the three inventories, as AWS describes it."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.stack import Stack
from tests.playbooks.plays import ACCOUNTS, ALONE, Play, Playbooks

ENVIRONMENTS = list(ACCOUNTS)
FIRST = [f"{env} {name}" for env in ENVIRONMENTS for name in ("bootstrap", "site")]
# The second time, prod is run by each of its playbooks alone.
SECOND = [f"{env} {name}" for env in ("dev", "local") for name in ("bootstrap", "site")]
SECOND += [f"prod {Path(name).stem}" for name in ALONE]


# What an alarm says of itself in the tests.
TOLD = ("Namespace", "MetricName", "Statistic", "Threshold", "EvaluationPeriods")


def alarms(stack: Stack, account: str, name: str) -> dict[str, dict[str, Any]]:
    """Return the alarms of what is watched, by how their names end."""
    found = stack.client("cloudwatch", account).describe_alarms(AlarmNamePrefix=f"{name}-")
    return {a["AlarmName"].removeprefix(f"{name}-"): a for a in found["MetricAlarms"]}


def named(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the resource that has this Name tag."""
    return next(r for r in found if {"Key": "Name", "Value": name} in r.get("Tags", []))


@pytest.mark.parametrize("run", FIRST)
def test_first_run_creates(first: dict[str, Play], run: str) -> None:
    assert first[run].count("changed") > 0


@pytest.mark.parametrize("run", SECOND)
def test_second_run_changes_nothing(second: dict[str, Play], run: str) -> None:
    assert second[run].count("changed") == 0, second[run].output


@pytest.mark.parametrize("run", SECOND)
def test_no_run_warns(second: dict[str, Play], run: str) -> None:
    assert "[WARNING]" not in second[run].output
    assert "[DEPRECATION" not in second[run].output


def test_check_mode_sees_an_existing_stack_as_it_is(second: dict[str, Play]) -> None:
    assert second["local check"].status == 0, second["local check"].output
    assert second["local check"].count("changed") == 0, second["local check"].output


def test_check_mode_tells_a_change_and_does_not_make_it(
    provisioned: Stack, playbook: Playbooks
) -> None:
    play = playbook(
        "playbooks/database.yml", "prod", "--check", "--diff", "-e", "database_max_capacity=16"
    )
    cluster = provisioned.client("rds", ACCOUNTS["prod"]).describe_db_clusters()["DBClusters"][0]
    assert play.count("changed") == 1, play.output
    assert "MaxCapacity: 16.0" in play.output
    assert cluster["ServerlessV2ScalingConfiguration"]["MaxCapacity"] == 8


def test_a_run_that_was_interrupted_is_finished_by_the_next(first: dict[str, Play]) -> None:
    assert first["local site"].status == 0, first["local site"].output


def test_changed_settings_change_what_they_are_about_and_nothing_else(changed: list[Play]) -> None:
    assert changed[0].changed == {
        "network : Ensure the endpoints of AWS's services inside the VPC",
        "database : Ensure that the exported logs do not stay for ever",
        "database : Ensure the cluster and its instance",
        "runner : Ensure the log group",
        "runner : Build the package",
        "signature : Ensure that the package is signed",
        "runner : Ensure the function and its release",
        "runner : Ensure that somebody hears of failures",
        "fleet : Ensure the state machines",
        "pipeline : Ensure the logs of the builds",
        "pipeline : Ensure that somebody hears of failures and of what waits for approval",
        "pipeline : Ensure the pipeline",
        "pipeline : Ensure that a push starts the pipeline",
        "pipeline : Ensure the pipeline that changes the pipeline",
    }


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_network_is_private(provisioned: Stack, env: str) -> None:
    ec2 = provisioned.client("ec2", ACCOUNTS[env])
    vpc = named(ec2.describe_vpcs()["Vpcs"], f"schema-migrations-{env}")["VpcId"]
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    subnets = ec2.describe_subnets(Filters=here)["Subnets"]
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    assert {s["AvailabilityZone"] for s in subnets} == {"eu-central-1a", "eu-central-1b"}
    assert not any(s["MapPublicIpOnLaunch"] for s in subnets)
    assert ec2.describe_internet_gateways(Filters=attached)["InternetGateways"] == []
    assert ec2.describe_nat_gateways(Filters=here)["NatGateways"] == []


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_security_rules_refer_to_groups_only(provisioned: Stack, env: str) -> None:
    ec2 = provisioned.client("ec2", ACCOUNTS[env])
    vpc = named(ec2.describe_vpcs()["Vpcs"], f"schema-migrations-{env}")["VpcId"]
    found = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    names = {g["GroupId"]: g["GroupName"].rpartition("-")[2] for g in found["SecurityGroups"]}
    edges = set()
    for group in found["SecurityGroups"]:
        for direction in ("IpPermissions", "IpPermissionsEgress"):
            for rule in group[direction]:
                assert not rule.get("IpRanges")
                assert not rule.get("Ipv6Ranges")
                ends = [names[p["GroupId"]] for p in rule["UserIdGroupPairs"]]
                ends += [p["PrefixListId"][:3] for p in rule["PrefixListIds"]]
                edges |= {(direction, names[group["GroupId"]], end, rule["ToPort"]) for end in ends}
    assert edges == {
        ("IpPermissions", "database", "runner", 5432),
        ("IpPermissions", "database", "bastion", 5432),
        ("IpPermissions", "endpoints", "runner", 443),
        ("IpPermissions", "endpoints", "bastion", 443),
        ("IpPermissionsEgress", "runner", "database", 5432),
        ("IpPermissionsEgress", "runner", "endpoints", 443),
        ("IpPermissionsEgress", "runner", "pl-", 443),
        ("IpPermissionsEgress", "bastion", "database", 5432),
        ("IpPermissionsEgress", "bastion", "endpoints", 443),
        ("IpPermissionsEgress", "bastion", "pl-", 443),
    }


@pytest.mark.parametrize(
    ("env", "least", "protected"), [("dev", 0, False), ("prod", 0.5, True), ("local", 0, False)]
)
def test_database_is_as_the_inventory_says(
    provisioned: Stack, env: str, least: float, protected: bool
) -> None:
    rds = provisioned.client("rds", ACCOUNTS[env])
    name = f"schema-migrations-{env}"
    cluster = rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
    instance = rds.describe_db_instances(DBInstanceIdentifier=f"{name}-1")["DBInstances"][0]
    parameters = rds.describe_db_cluster_parameters(DBClusterParameterGroupName=name, Source="user")
    forced = {p["ParameterName"]: p["ParameterValue"] for p in parameters["Parameters"]}
    scaling = cluster["ServerlessV2ScalingConfiguration"]
    assert instance["DBInstanceClass"] == "db.serverless"
    assert not instance["PubliclyAccessible"]
    assert cluster["StorageEncrypted"]
    assert f":{ACCOUNTS[env]}:key/" in cluster["KmsKeyId"]
    assert cluster["MasterUserSecret"]["SecretStatus"] == "active"
    assert cluster["HttpEndpointEnabled"]
    assert cluster["IAMDatabaseAuthenticationEnabled"]
    assert cluster["EnabledCloudwatchLogsExports"] == ["postgresql"]
    assert cluster["DeletionProtection"] == protected
    assert scaling["MinCapacity"] == least
    assert ("SecondsUntilAutoPause" in scaling) == (least == 0)
    assert forced["rds.force_ssl"] == "1"


@pytest.mark.parametrize("env", ["dev", "prod"])
def test_runner_is_released_for_the_lambda_processor(provisioned: Stack, env: str) -> None:
    functions = provisioned.client("lambda", ACCOUNTS[env])
    name = f"schema-migrations-{env}-runner"
    live = functions.get_function_configuration(FunctionName=name, Qualifier="live")
    assert (live["Runtime"], live["Architectures"]) == ("python3.13", ["arm64"])
    assert (live["Handler"], live["Timeout"]) == ("runner.handler.handle", 900)
    assert live["State"] == "Active"
    assert set(live["Environment"]["Variables"]) == {
        "PGHOST",
        "PGPORT",
        "PGDATABASE",
        "PGSSLMODE",
        "FILES_BUCKET",
        "DATABASE_SECRET_ARN",
        *(["REQUIRE_PLAN_DIGEST", "REQUIRE_EVIDENCE", "REQUIRE_SNAPSHOT"] if env == "prod" else []),
        "DATABASE_ROLE",
    }
    aliases = functions.list_aliases(FunctionName=name)["Aliases"]
    assert {a["Name"]: a["FunctionVersion"] for a in aliases} == dict.fromkeys(
        ("read", "live", "admin"), live["Version"]
    )
    assert len(live["VpcConfig"]["SubnetIds"]) == 2


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_failures_of_the_runner_ring_one_topic(provisioned: Stack, env: str) -> None:
    name, account = f"schema-migrations-{env}-runner", ACCOUNTS[env]
    found = alarms(provisioned, account, name)
    assert {ending: tuple(alarm[k] for k in TOLD) for ending, alarm in found.items()} == {
        "failed": ("SchemaMigrations", "Failed", "Sum", 0, 1),
        "errors": ("AWS/Lambda", "Errors", "Sum", 0, 6),
        "duration": ("AWS/Lambda", "Duration", "Maximum", 720_000, 6),
    }
    for alarm in found.values():
        assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": name}]
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        assert (alarm["Period"], alarm["DatapointsToAlarm"]) == (300, 1)
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"] == [f"arn:aws:sns:eu-central-1:{account}:{name}-alarms"]
        assert alarm["OKActions"] == []


def test_whatever_stops_the_pipeline_goes_to_its_topic_once(provisioned: Stack) -> None:
    """The rules tell of a failed build, as of all else: an alarm would tell it a second time."""
    name, account = "schema-migrations-pipeline", ACCOUNTS["dev"]
    assert alarms(provisioned, account, name) == {}
    events = provisioned.client("events", account)
    for rule in ("failed", "ended"):
        (target,) = events.list_targets_by_rule(Rule=f"schema-migrations-{rule}")["Targets"]
        assert target["Arn"] == f"arn:aws:sns:eu-central-1:{account}:{name}-alarms"


def test_an_approval_that_is_awaited_is_told_to_the_pipelines_topic(provisioned: Stack) -> None:
    client = provisioned.client("codepipeline", ACCOUNTS["dev"])
    approve = client.get_pipeline(name="schema-migrations")["pipeline"]["stages"][-1]["actions"][0]
    topic = f"arn:aws:sns:eu-central-1:{ACCOUNTS['dev']}:schema-migrations-pipeline-alarms"
    assert approve["configuration"]["NotificationArn"] == topic


def test_mail_goes_to_whom_the_inventory_names(provisioned: Stack, playbook: Playbooks) -> None:
    sns, mailed = provisioned.client("sns", ACCOUNTS["prod"]), []
    topic = f"arn:aws:sns:eu-central-1:{ACCOUNTS['prod']}:schema-migrations-prod-runner-alarms"
    for emails in (["on-call@example.com"], []):
        listed = json.dumps({"runner_alarm_emails": emails})
        play = playbook("playbooks/runner.yml", "prod", "-e", listed)
        assert play.count("changed") == 1, play.output
        found = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        mailed.append([s["Endpoint"] for s in found if s["Protocol"] == "email"])
    assert mailed == [["on-call@example.com"], []]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_logs_do_not_stay_for_ever(provisioned: Stack, env: str) -> None:
    groups = provisioned.client("logs", ACCOUNTS[env]).describe_log_groups()["logGroups"]
    ours = [g for g in groups if "schema-migrations" in g["logGroupName"]]
    assert ours
    assert all(g.get("retentionInDays") for g in ours)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_bastion_is_isolated(provisioned: Stack, env: str) -> None:
    ec2 = provisioned.client("ec2", ACCOUNTS[env])
    instances = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    bastion = named(instances, f"schema-migrations-{env}-bastion")
    assert bastion["MetadataOptions"]["HttpTokens"] == "required"
    assert bastion["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert not bastion.get("PublicIpAddress")
    assert not bastion.get("KeyName")
    assert bastion["IamInstanceProfile"]["Arn"].endswith(f"/schema-migrations-{env}-bastion")


def test_pipeline_goes_from_dev_to_prod(provisioned: Stack) -> None:
    client = provisioned.client("codepipeline", ACCOUNTS["dev"])
    pipeline = client.get_pipeline(name="schema-migrations")["pipeline"]
    stages = {s["name"]: [a["name"] for a in s["actions"]] for s in pipeline["stages"]}
    orders = [a["runOrder"] for a in pipeline["stages"][-1]["actions"]]
    assert (pipeline["pipelineType"], pipeline["executionMode"]) == ("V2", "QUEUED")
    assert stages == {
        "Source": ["Source", "Planner"],
        "Check": ["Check", "Compare"],
        "Definition": ["Ask"],
        "Dev": ["Deploy", "Migrate"],
        "ProdPlan": ["Look", "Plan"],
        "Prod": ["Approve", "Deploy", "Migrate"],
    }
    assert orders == [1, 2, 3]


def test_migrate_action_names_function_role_and_run(provisioned: Stack) -> None:
    client = provisioned.client("codepipeline", ACCOUNTS["dev"])
    migrate = client.get_pipeline(name="schema-migrations")["pipeline"]["stages"][-1]["actions"][-1]
    variables = json.loads(migrate["configuration"]["EnvironmentVariables"])
    assert {v["name"]: v["value"] for v in variables} == {
        "STEP": "migrate",
        "ENVIRONMENT": "prod",
        "RUNNER_FUNCTION": "arn:aws:lambda:eu-central-1:444455556666:function:"
        "schema-migrations-prod-runner:live",
        "INVOKE_ROLE_ARN": "arn:aws:iam::444455556666:role/schema-migrations-invoke-live",
        "RUN_ID": "#{codepipeline.PipelineExecutionId}-prod",
        "PLAN_DIGEST": "#{ProdPlan.PLAN_DIGEST}",
        "PROVED": "#{Check.PROVED}",
        "PROMOTED": "#{DevMigrate.APPLIED}",
        "SNAPSHOT": "#{ProdDeploy.SNAPSHOT}",
    }


def test_the_approval_shows_what_was_planned(provisioned: Stack) -> None:
    client = provisioned.client("codepipeline", ACCOUNTS["dev"])
    *_, planned, prod = client.get_pipeline(name="schema-migrations")["pipeline"]["stages"]
    look, plan = planned["actions"]
    assert look["namespace"] == "ProdLook"
    variables = json.loads(plan["configuration"]["EnvironmentVariables"])
    assert plan["namespace"] == "ProdPlan"
    assert {v["name"]: v["value"] for v in variables} == {
        "STEP": "plan",
        "ENVIRONMENT": "prod",
        "RUNNER_FUNCTION": "arn:aws:lambda:eu-central-1:444455556666:function:"
        "schema-migrations-prod-runner:read",
        "CHANGED": "#{ProdLook.CHANGED}",
        "RUNNER_DATABASE": "app",
        "INVOKE_ROLE_ARN": "arn:aws:iam::444455556666:role/schema-migrations-invoke-read",
        "RUN_ID": "#{codepipeline.PipelineExecutionId}-prod",
    }
    shown = prod["actions"][0]["configuration"]
    assert shown["CustomData"] == (
        "prod: #{ProdPlan.PLAN_RISK}; #{ProdPlan.PLAN_PENDING} pending,"
        " digest #{ProdPlan.PLAN_DIGEST};"
        " infrastructure: #{ProdLook.CHANGES} (#{ProdLook.REPORT_URL})"
    )
    assert shown["ExternalEntityLink"] == "#{ProdPlan.REPORT_URL}"


def test_local_pipeline_has_its_one_stage(provisioned: Stack) -> None:
    client = provisioned.client("codepipeline", ACCOUNTS["local"])
    pipeline = client.get_pipeline(name="schema-migrations")["pipeline"]
    assert [s["name"] for s in pipeline["stages"]] == [
        "Source",
        "Check",
        "Definition",
        "LocalPlan",
        "Local",
    ]


def test_a_push_starts_the_pipeline(provisioned: Stack) -> None:
    events = provisioned.client("events", ACCOUNTS["dev"])
    rule = events.describe_rule(Name="schema-migrations-trigger")
    (target,) = events.list_targets_by_rule(Rule="schema-migrations-trigger")["Targets"]
    assert json.loads(rule["EventPattern"])["detail"]["referenceName"] == ["main"]
    assert target["Arn"] == "arn:aws:codepipeline:eu-central-1:111122223333:schema-migrations"
    assert target["RoleArn"] == "arn:aws:iam::111122223333:role/schema-migrations-trigger"


BUILDS = (
    "check", "compare", "deploy-dev", "deploy-prod", "look-prod", "migrate-dev", "migrate-prod",
    "plan-prod", "update",
)  # fmt: skip


def test_nothing_is_deployed_by_another_pipeline_than_the_commit_asks_for(
    provisioned: Stack,
) -> None:
    client = provisioned.client("codepipeline", ACCOUNTS["dev"])
    stages = {
        stage["name"]: stage
        for stage in client.get_pipeline(name="schema-migrations")["pipeline"]["stages"]
    }
    results = {}
    for name in ("Definition", "Dev"):
        (condition,) = stages[name]["beforeEntry"]["conditions"]
        (rule,) = condition["rules"]
        results[name] = (condition["result"], *sorted(rule["configuration"].values()))
    assert results == {
        "Definition": ("SKIP", "#{Compare.CHANGED}", "0", "NE"),
        "Dev": ("FAIL", "#{Compare.CHANGED}", "0", "EQ"),
    }
    asked = stages["Definition"]["actions"][0]["configuration"]
    (revision,) = json.loads(asked["SourceRevisions"])
    assert revision["revisionValue"] == "#{Source.CommitId}"
    other = client.get_pipeline(name="schema-migrations-definition")["pipeline"]
    assert {v["name"] for v in json.loads(asked["Variables"])} == {
        v["name"] for v in other["variables"]
    }


@pytest.mark.parametrize("project", BUILDS)
def test_builds_run_under_a_role_of_their_own(provisioned: Stack, project: str) -> None:
    codebuild = provisioned.client("codebuild", ACCOUNTS["dev"])
    name = f"schema-migrations-{project}"
    (found,) = codebuild.batch_get_projects(names=[name])["projects"]
    assert found["serviceRole"].endswith(f"role/schema-migrations-build-{project}")
    assert found["source"] == {"type": "CODEPIPELINE", "buildspec": "buildspec.yml"}
    # Above a limit CodeBuild refuses a build, and the pipeline would fail.
    assert found.get("concurrentBuildLimit") is None
    assert found["logsConfig"]["cloudWatchLogs"]["groupName"] == f"/aws/codebuild/{name}"
