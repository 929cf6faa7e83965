"""Builds that nobody's pipeline starts: CodeBuild runs them here, in the project's own network.

Only projects without a source, whose buildspec is in the project, are run; those of pipelines are
`local.codebuild`'s. What AWS says, and where:

- a project in a VPC takes its service role's rights to make network interfaces there, and to let
  CodeBuild use them: CodeBuild User Guide, "Allow CodeBuild access to AWS services required to
  create a VPC network interface"; without them the build ends in PROVISIONING, VPC_CLIENT_ERROR
  ("Troubleshooting CodeBuild");
- in a subnet that leads nowhere a build reaches only services that have an endpoint in the VPC, and
  its log too goes by one: "Use VPC endpoints";
- the variables of a build have 5,500 characters together: "Quotas for CodeBuild";
- a second StartBuild with the same token within five minutes starts nothing: API Reference;
- what takes longer than timeoutInMinutes is stopped, as TIMED_OUT: API Reference, Build.
"""
# ruff: noqa: SLF001 (patching private names is this module's purpose)

import contextvars
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from local.emulator.iam import may
from local.emulator.patches import module, wrap
from local.process.environment import basics

codebuild = module("ministack.services.codebuild")
ec2 = module("ministack.services.ec2")
responses = module("ministack.core.responses")

_VARIABLES = 5500  # characters
_NOWHERE = "http://127.0.0.1:9"  # where nothing listens
_INTERFACES = (
    "CreateNetworkInterface", "DeleteNetworkInterface", "DescribeDhcpOptions",
    "DescribeNetworkInterfaces", "DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs",
)  # fmt: skip
# A service's name in that of its endpoint, and in the variable that boto3 reads its place from.
_SERVICES = {
    "codebuild": "CODEBUILD", "logs": "CLOUDWATCH_LOGS", "s3": "S3",
    "secretsmanager": "SECRETS_MANAGER", "sts": "STS",
}  # fmt: skip
Data = dict[str, Any]
_tokens: dict[tuple[str, str], Any] = {}


def patch() -> None:
    """Replace what starts a build."""
    wrap(codebuild, "_start_build", _starting)


def _starting(start: Any) -> Any:
    def starting(data: Data) -> Any:
        project = codebuild._projects.get(data.get("projectName", ""))
        if not project or project["source"].get("type") != "NO_SOURCE":
            return start(data)
        token = (project["arn"], data.get("idempotencyToken", ""))
        if token[1] and token in _tokens:
            return _tokens[token]
        variables = _variables(project, data)
        if sum(len(f"{name}{value}") for name, value in variables.items()) > _VARIABLES:
            said = f"The environment variables have more than {_VARIABLES} characters"
            return responses.error_response_json("InvalidInputException", said, 400)
        response = start(data)
        build = codebuild._builds[json.loads(response[2])["build"]["id"]]
        _begin(build, project, variables)
        response = responses.json_response({"build": build})
        _tokens[token] = response
        return response

    return starting


def _variables(project: Data, data: Data) -> dict[str, str]:
    own = project["environment"].get("environmentVariables", [])
    given = data.get("environmentVariablesOverride", [])
    return {one["name"]: one["value"] for one in (*own, *given)}


def _begin(build: Data, project: Data, variables: dict[str, str]) -> None:
    named = [{"name": n, "value": v, "type": "PLAINTEXT"} for n, v in variables.items()]
    build |= {
        "buildStatus": "IN_PROGRESS",
        "currentPhase": "SUBMITTED",
        "buildComplete": False,
        "environment": {**project["environment"], "environmentVariables": named},
        "phases": [],
    }
    build.pop("endTime", None)
    group = project.get("logsConfig", {}).get("cloudWatchLogs", {}).get("groupName")
    build["logs"]["groupName"] = group or build["logs"]["groupName"]
    run = functools.partial(_run, build, project, variables)
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), daemon=True).start()


def _run(build: Data, project: Data, variables: dict[str, str]) -> None:
    network = project.get("vpcConfig") or {}
    if missing := _missing(project["serviceRole"], network):
        said = f"VPC_CLIENT_ERROR: Unexpected EC2 error: UnauthorizedOperation ({missing})"
        failed = {"phaseType": "PROVISIONING", "phaseStatus": "CLIENT_ERROR"}
        build["phases"].append({**failed, "contexts": [{"message": said}]})
        _end(build, "FAILED")
        return
    services = _reachable(network)
    emit = codebuild._log_sink(build) if "logs" in services else lambda _: None
    minutes = int(project.get("timeoutInMinutes") or 60)
    with tempfile.TemporaryDirectory(prefix="codebuild-") as folder:
        job = Path(folder) / "job.json"
        job.write_text(json.dumps(_job(build, project, variables, services)))
        process = subprocess.Popen(
            [sys.executable, "-m", "local.codebuild", str(job)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        timer = threading.Timer(60 * minutes, process.kill)
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            emit(line)
        status = process.wait()
        timer.cancel()
    _end(build, {0: "SUCCEEDED", -9: "TIMED_OUT"}.get(status, "FAILED"))


def _end(build: Data, status: str) -> None:
    build["endTime"] = int(time.time())
    build |= {"currentPhase": "COMPLETED", "buildStatus": status, "buildComplete": True}


def _job(build: Data, project: Data, variables: dict[str, str], services: set[str]) -> Data:
    endpoint = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
    home = tempfile.gettempdir()
    reached = {
        f"AWS_ENDPOINT_URL_{variable}": endpoint
        for name, variable in _SERVICES.items()
        if name in services
    }
    return {
        "buildspec": project["source"]["buildspec"],
        "endpoint": endpoint,
        "region": responses.get_region(),
        "account": responses.get_account_id(),
        "role": project["serviceRole"],
        "project": project["arn"],
        "environment": {
            **basics(Path(home), Path(home)),
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _NOWHERE),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **variables,
            "AWS_ENDPOINT_URL": _NOWHERE,
            **reached,
            "AWS_REGION": responses.get_region(),
            "AWS_DEFAULT_REGION": responses.get_region(),
            "AWS_EC2_METADATA_DISABLED": "true",
            "CODEBUILD_BUILD_ARN": build["arn"],
            "CODEBUILD_BUILD_ID": build["id"],
            "CODEBUILD_START_TIME": str(build["startTime"] * 1000),
        },
    }


def _reachable(network: Data) -> set[str]:
    """Return the services that a build reaches: of a network without a way out, its endpoints'."""
    if not network:
        return set(_SERVICES)
    return {
        endpoint["ServiceName"].rpartition(".")[2]
        for endpoint in ec2._vpc_endpoints.values()
        if endpoint["VpcId"] == network["vpcId"]
    }


def _missing(role: str, network: Data) -> str:
    """Return a right that a service role lacks for a build in this network."""
    if not network:
        return ""
    scope = f"{responses.get_region()}:{responses.get_account_id()}"
    for name in _INTERFACES:
        if not may(role, f"ec2:{name}", "*"):
            return f"ec2:{name}"
    for subnet in network["subnets"]:
        about = {
            "ec2:AuthorizedService": "codebuild.amazonaws.com",
            "ec2:Subnet": f"arn:aws:ec2:{scope}:subnet/{subnet}",
        }
        interface = f"arn:aws:ec2:{scope}:network-interface/eni-0"
        if not may(role, "ec2:CreateNetworkInterfacePermission", interface, about):
            return "ec2:CreateNetworkInterfacePermission"
    return ""
