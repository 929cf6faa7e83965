#!/usr/bin/python
"""Ansible module: a CodePipeline of type V2."""

from __future__ import annotations

from typing import Any

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    TAGS,
    Converge,
    Document,
    Owned,
    difference,
    owned,
    tag_dict,
    tag_list,
)

DOCUMENTATION = r"""
module: codepipeline
short_description: Ensure a CodePipeline of type V2
description:
  - Ensures the pipeline with execution mode, triggers, variables and tags, and updates it only when
    something differs. Stages are written as in the API, with names in camel case; what is in them
    and not written is removed.
  - An update would cancel what the pipeline is running, while the builds of it run on with nobody
    who looks. So it is refused as long as an execution is under way.
  - Instead of M(community.aws.codepipeline), which knows neither type V2 nor execution mode,
    triggers, variables and tags, sends an update at each run, and has no check mode.
options:
  name:
    description: Name of the pipeline.
    type: str
    required: true
  role:
    description: ARN of the pipeline's role; required when the pipeline is to exist.
    type: str
  bucket:
    description: Bucket of the artifacts; required when the pipeline is to exist.
    type: str
  kms_key:
    description: ARN of the key of the artifacts; required when the pipeline is to exist.
    type: str
  stages:
    description: The stages; required when the pipeline is to exist.
    type: list
    elements: dict
  execution_mode:
    description: What happens to an execution that finds an earlier one under way.
    type: str
    choices: [QUEUED, SUPERSEDED, PARALLEL]
    default: QUEUED
  state:
    description:
      - Whether it is to exist. V(idle) changes nothing, and fails as long as an execution is under
        way, so that what the pipeline uses can be changed before it is.
    type: str
    choices: [present, absent, idle]
    default: present
  triggers:
    description: The triggers, as in the API.
    type: list
    elements: dict
    default: []
  variables:
    description: The pipeline's variables, as in the API.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - migrations.aws.converge
  - migrations.aws.converge.tags
"""

EXAMPLES = r"""
- name: Ensure a pipeline with one build
  migrations.aws.codepipeline:
    name: shop
    role: arn:aws:iam::111122223333:role/shop-pipeline
    bucket: shop-artifacts
    kms_key: "{{ artifacts_key }}"
    stages: "{{ stages }}"
"""

RETURN = r"""
arn:
  description: ARN of the pipeline.
  returned: when it exists
  type: str
version:
  description: AWS's number of the pipeline's definition; it grows with each update.
  returned: when it exists
  type: int
"""

SPEC = {
    "name": {"type": "str", "required": True},
    "role": {"type": "str"},
    "bucket": {"type": "str"},
    "kms_key": {"type": "str"},
    "stages": {"type": "list", "elements": "dict"},
    "execution_mode": {
        "type": "str",
        "choices": ["QUEUED", "SUPERSEDED", "PARALLEL"],
        "default": "QUEUED",
    },
    "triggers": {"type": "list", "elements": "dict", "default": []},
    "variables": {"type": "list", "elements": "dict", "default": []},
    "tags": TAGS,
    "state": {"type": "str", "choices": ["present", "absent", "idle"], "default": "present"},
}


def wanted(p: Document) -> Document:
    """Return the pipeline as AWS takes it."""
    key = {"type": "KMS", "id": p["kms_key"]}
    return {
        "name": p["name"],
        "pipelineType": "V2",
        "executionMode": p["execution_mode"],
        "roleArn": p["role"],
        "artifactStore": {"type": "S3", "location": p["bucket"], "encryptionKey": key},
        "stages": owned(p["stages"]),
        "triggers": p["triggers"],
        "variables": p["variables"],
    }


def pruned(value: Any, region: str) -> Any:
    """Return a definition without what AWS adds or leaves out as it likes.

    That is what is empty, and an action's region where it is the pipeline's own.
    """
    if isinstance(value, dict):
        kept = {k: pruned(v, region) for k, v in value.items() if v not in ({}, [], None)}
        if kept.get("region") == region:
            del kept["region"]
        return Owned(kept) if isinstance(value, Owned) else kept
    return [pruned(v, region) for v in value] if isinstance(value, list) else value


UNDER_WAY = ("InProgress", "Stopping")


def refuse_under_way(run: Converge, api: Any) -> None:
    """End the module if a change would come upon an execution, which an update would cancel."""
    name, missing = run.params["name"], ("PipelineNotFoundException",)
    answer = run.read(api.list_pipeline_executions, missing, pipelineName=name) or {}
    for execution in answer.get("pipelineExecutionSummaries", []):
        if execution["status"] in UNDER_WAY and not run.module.check_mode:
            run.module.fail_json(
                msg=f"pipeline {name}: execution {execution['pipelineExecutionId']} is under way, "
                "and a change of the pipeline would cancel it. Let it end, answer its approval, or "
                f"stop it (aws codepipeline stop-pipeline-execution --pipeline-name {name} "
                f"--pipeline-execution-id {execution['pipelineExecutionId']}); then run this again."
            )


def main() -> None:
    """Run the module."""
    run = Converge(
        SPEC, required_if=[("state", "present", ["role", "bucket", "kms_key", "stages"])]
    )
    p, api = run.params, run.client("codepipeline")
    if p["state"] == "idle":
        refuse_under_way(run, api)
        run.exit()
    answer = run.read(api.get_pipeline, ("PipelineNotFoundException",), name=p["name"]) or {}
    found: Document = answer.get("pipeline", {})
    if p["state"] == "absent":
        if found:
            run.before = {"name": p["name"]}
            run.send(api.delete_pipeline, name=p["name"])
        run.exit()
    pipeline = wanted(p)
    arn = answer.get("metadata", {}).get("pipelineArn", "")
    if not found:
        run.after = pipeline
        answer = run.send(
            api.create_pipeline, pipeline=pipeline, tags=tag_list(p["tags"], "key", "value")
        )
        found = answer.get("pipeline", {})
    else:
        region = run.module.region
        changes = difference(pruned(found, region), pruned(pipeline, region))
        gone = [k for k in ("triggers", "variables") if found.get(k) and not p[k]]
        if changes or gone:
            run.before = {key: found.get(key) for key in [*changes, *gone]}
            run.after = {key: pipeline[key] for key in [*changes, *gone]}
            refuse_under_way(run, api)
            found = run.send(api.update_pipeline, pipeline=pipeline).get("pipeline", found)
        tags = tag_dict(
            (run.read(api.list_tags_for_resource, resourceArn=arn) or {}).get("tags", []),
            "key",
            "value",
        )
        missing = {k: v for k, v in p["tags"].items() if tags.get(k) != v}
        if missing:
            run.send(api.tag_resource, resourceArn=arn, tags=tag_list(missing, "key", "value"))
    run.exit(arn=arn, version=found.get("version", 0))


if __name__ == "__main__":
    main()
