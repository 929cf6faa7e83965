"""Run an emulated pipeline's stages in their order, as CodePipeline would, on this machine."""

import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from local.codebuild.action import action_of, run_action
from local.errors import LocalError
from local.stack import Stack

Approve = Callable[[str], bool]


def ask(question: str) -> bool:
    """Ask a person for an approval; nobody there means no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} [yes/no] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def run_pipeline(
    stack: Stack,
    name: str,
    *,
    account: str,
    source: Path,
    only: Collection[str] = (),
    approve: Approve = ask,
) -> bool:
    """Start an execution and run its actions; return whether all of them succeeded.

    Args:
        stack: where the pipeline is.
        name: the pipeline's name.
        account: the account that hosts it.
        source: the folder that stands for the source artifact.
        only: names of the actions to run; empty means all.
        approve: decides manual approvals.

    """
    client = stack.client("codepipeline", account)
    try:
        definition: dict[str, Any] = client.get_pipeline(name=name)["pipeline"]
    except client.exceptions.PipelineNotFoundException:
        raise LocalError(
            f"account {account} has no pipeline {name}: run ansible-playbook site.yml first"
        ) from None
    execution = client.start_pipeline_execution(name=name)["pipelineExecutionId"]
    known = {"codepipeline.PipelineExecutionId": execution, "codepipeline.PipelineName": name}

    def run(action: dict[str, Any]) -> bool:
        kind = action["actionTypeId"]
        match kind["category"], kind["provider"]:
            case "Source", _:
                _say(f"source: {source}")
                return True
            case "Approval", _:
                return approve(action.get("configuration", {}).get("CustomData") or "Approve?")
            case "Build", "CodeBuild":
                build = action_of(action, account=account, pipeline=name, known=known)
                return run_action(stack, build, source)
        raise LocalError(f"{kind['category']} by {kind['provider']} is not supported here")

    for stage, action in _in_order(definition):
        if only and action["name"] not in only:
            continue
        _say(f"{name} · {stage} · {action['name']}")
        if not run(action):
            _say(f"{stage} · {action['name']} FAILED; what comes after it does not run")
            return False
    return True


def _in_order(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each stage's name with its actions, by run order."""
    for stage in definition["stages"]:
        for action in sorted(stage["actions"], key=lambda action: int(action.get("runOrder", 1))):
            yield stage["name"], action


def _say(text: str) -> None:
    sys.stderr.write(f"[pipeline] {text}\n")
    sys.stderr.flush()
