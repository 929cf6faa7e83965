#!/usr/bin/python
"""Ansible module: a CodeBuild project that a pipeline uses, or that runs by itself."""

from __future__ import annotations

from typing import Any

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    STATE,
    TAGS,
    Converge,
    Document,
    difference,
    owned,
    tag_dict,
    tag_list,
    without_empty,
)

DOCUMENTATION = r"""
module: codebuild_project
short_description: Ensure a CodeBuild project, of a pipeline or with a buildspec of its own
description:
  - Ensures the project with its image, log group, time limit and limit of builds at a time.
  - Environment variables of a pipeline's project come from the pipeline.
  - With I(steps) it has neither source nor artifacts, and the buildspec is in the project.
  - Instead of M(community.aws.codebuild_project), which has no options for the log group and the
    limit of builds at a time, and no check mode.
options:
  name:
    description: Name of the project.
    type: str
    required: true
  description:
    description: What its builds do.
    type: str
    default: ""
  buildspec:
    description: Path of the buildspec in the source.
    type: str
    default: buildspec.yml
  steps:
    description: The text of the buildspec, for a project without a source.
    type: str
  environment:
    description: Environment variables of its builds.
    type: dict
    default: {}
  vpc_id:
    description: The VPC that builds run in.
    type: str
  subnets:
    description: Subnets of the builds.
    type: list
    elements: str
    default: []
  security_groups:
    description: Security groups of the builds.
    type: list
    elements: str
    default: []
  image:
    description: Image of the build container.
    type: str
    default: aws/codebuild/amazonlinux-aarch64-standard:3.0
  container:
    description: Kind of the build container; it has to fit the image.
    type: str
    default: ARM_CONTAINER
  compute:
    description: Size of the build container.
    type: str
    default: BUILD_GENERAL1_SMALL
  role:
    description: ARN of the service role; required when the project is to exist.
    type: str
  kms_key:
    description: ARN of the key of the artifacts; required of a pipeline's project.
    type: str
  log_group:
    description: Log group of the builds; without it CodeBuild makes one of its own.
    type: str
  timeout:
    description: Minutes after which a build is stopped.
    type: int
    default: 60
  concurrent:
    description: Number of builds at a time; without it there is no limit.
    type: int
  reports:
    description:
      - Names of the buildspec's reports, whose groups CodeBuild makes as it runs.
      - They are removed with the project.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - migrations.aws.converge
  - migrations.aws.converge.state
  - migrations.aws.converge.tags
"""

EXAMPLES = r"""
- name: One migration at a time
  migrations.aws.codebuild_project:
    name: shop-migrate
    role: arn:aws:iam::111122223333:role/shop-build-migrate
    kms_key: "{{ artifacts_key }}"
    concurrent: 1
"""

RETURN = r"""
arn:
  description: ARN of the project.
  returned: when it exists
  type: str
"""

SPEC = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str", "default": ""},
    "buildspec": {"type": "str", "default": "buildspec.yml"},
    "steps": {"type": "str"},
    "environment": {"type": "dict", "default": {}},
    "vpc_id": {"type": "str"},
    "subnets": {"type": "list", "elements": "str", "default": []},
    "security_groups": {"type": "list", "elements": "str", "default": []},
    "image": {"type": "str", "default": "aws/codebuild/amazonlinux-aarch64-standard:3.0"},
    "container": {"type": "str", "default": "ARM_CONTAINER"},
    "compute": {"type": "str", "default": "BUILD_GENERAL1_SMALL"},
    "role": {"type": "str"},
    "kms_key": {"type": "str"},
    "log_group": {"type": "str"},
    "timeout": {"type": "int", "default": 60},
    "concurrent": {"type": "int"},
    "reports": {"type": "list", "elements": "str", "default": []},
    "tags": TAGS,
    "state": STATE,
}


# How AWS says that there is no limit of builds at a time.
UNLIMITED = -1


def wanted(p: Document) -> Document:
    """Return the project as AWS takes it."""
    log = {"status": "ENABLED", "groupName": p["log_group"]}
    return without_empty(
        {
            "description": p["description"],
            **_place(p),
            "environment": {
                "type": p["container"],
                "image": p["image"],
                "computeType": p["compute"],
                "environmentVariables": [
                    {"name": name, "value": str(value), "type": "PLAINTEXT"}
                    for name, value in sorted(p["environment"].items())
                ],
                "privilegedMode": False,
            },
            "serviceRole": p["role"],
            "encryptionKey": p["kms_key"],
            "timeoutInMinutes": p["timeout"],
            "logsConfig": {"cloudWatchLogs": owned(without_empty(log))},
            "concurrentBuildLimit": p["concurrent"] or UNLIMITED,
        }
    )


def _place(p: Document) -> Document:
    """Return where a project's source comes from and goes to, and which network it is in."""
    if not p["steps"]:
        source = {"type": "CODEPIPELINE", "buildspec": p["buildspec"]}
        return {"source": source, "artifacts": {"type": "CODEPIPELINE"}}
    network = {
        "vpcId": p["vpc_id"],
        "subnets": sorted(p["subnets"]),
        "securityGroupIds": sorted(p["security_groups"]),
    }
    return {
        "source": {"type": "NO_SOURCE", "buildspec": p["steps"]},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "vpcConfig": network if p["vpc_id"] else None,
    }


def existing(project: Document) -> Document:
    """Return a project of AWS's with the defaults that AWS leaves out, and its tags in order."""
    environment = {"environmentVariables": [], "privilegedMode": False, **project["environment"]}
    variables = sorted(environment["environmentVariables"], key=lambda one: str(one["name"]))
    vpc = project.get("vpcConfig") or {}
    logs = {"cloudWatchLogs": {"status": "ENABLED"}, **(project.get("logsConfig") or {})}
    return {
        "concurrentBuildLimit": UNLIMITED,
        **project,
        "environment": {**environment, "environmentVariables": variables},
        "vpcConfig": {
            key: sorted(value) if isinstance(value, list) else value for key, value in vpc.items()
        },
        "logsConfig": logs,
        "tags": sorted(project.get("tags", []), key=lambda tag: str(tag["key"])),
    }


def remove_reports(run: Converge, api: Any, project_arn: str) -> None:
    """Remove the report groups of a project, with their reports."""
    begin = project_arn.replace(":project/", ":report-group/")
    if arns := [f"{begin}-{name}" for name in run.params["reports"]]:
        groups = run.read(api.batch_get_report_groups, reportGroupArns=arns) or {}
        for group in groups.get("reportGroups", []):
            run.send(api.delete_report_group, arn=group["arn"], deleteReports=True)


def main() -> None:
    """Run the module."""
    run = Converge(
        SPEC,
        required_if=[
            ("state", "present", ["role"]),
            ("state", "present", ["kms_key", "steps"], True),
        ],
    )
    p, api = run.params, run.client("codebuild")
    answer = run.read(api.batch_get_projects, names=[p["name"]]) or {}
    found: Document = next(iter(answer.get("projects", [])), {})
    if p["state"] == "absent":
        if found:
            run.before = {"name": p["name"]}
            remove_reports(run, api, found["arn"])
            run.send(api.delete_project, name=p["name"])
        run.exit()
    tags = {**tag_dict(found.get("tags", []), "key", "value"), **p["tags"]}
    project = {**wanted(p), "tags": tag_list(tags, "key", "value")}
    if not found:
        if not p["concurrent"]:
            del project["concurrentBuildLimit"]  # only an update takes the absence of one
        run.after = project
        answer = run.send_when_ready(
            api.create_project,
            ("InvalidInputException",),
            ("authorized to perform: sts:AssumeRole",),
            10,
            name=p["name"],
            **project,
        )
        found = answer.get("project", {})
    elif changes := difference(existing(found), project):
        run.before = {key: found.get(key) for key in changes}
        run.after = changes
        run.send(api.update_project, name=p["name"], **changes)
    run.exit(arn=found.get("arn", ""))


if __name__ == "__main__":
    main()
