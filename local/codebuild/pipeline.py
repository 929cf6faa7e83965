"""Run an emulated pipeline's stages in their order, as CodePipeline would, on this machine."""

import dataclasses
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local.codebuild.action import action_of, resolve, run_action
from local.codebuild.artifacts import Artifact, hand_over
from local.codebuild.source import Source
from local.errors import LocalError
from local.stack import Stack
from local.state import REGION

Approve = Callable[[str], bool]
Known = dict[str, str]


def ask(question: str) -> bool:
    """Ask a person for an approval: the variable APPROVE answers, else the terminal.

    Without either it is given, and said so: what is deployed here is nobody's production, and who
    runs `make local` from a script wants it to go through.
    """
    given = os.environ.get("APPROVE")
    if given is None and not sys.stdin.isatty():
        _say(f"{question} Approved, as nobody is at a terminal to ask (APPROVE=no refuses).")
        return True
    sys.stderr.write(f"{question} [yes/no] ")
    sys.stderr.flush()
    answer = sys.stdin.readline() if given is None else given
    if given is not None:
        sys.stderr.write(f"{given} (APPROVE)\n")
    return answer.strip().lower() in {"y", "yes"}


def run_pipeline(
    stack: Stack,
    name: str,
    *,
    account: str,
    source: Path | Source,
    only: Collection[str] = (),
    approve: Approve = ask,
    keep: Path | None = None,
) -> bool:
    """Start an execution and run its actions; return whether all of them succeeded.

    Args:
        stack: where the pipeline is.
        name: the pipeline's name.
        account: the account that hosts it.
        source: the source artifact, or the folder to make it of.
        only: names of the actions to run; empty means all.
        approve: decides manual approvals.
        keep: where the reports of the builds go.

    """
    client = stack.client("codepipeline", account)
    try:
        definition: dict[str, Any] = client.get_pipeline(name=name)["pipeline"]
    except client.exceptions.PipelineNotFoundException:
        raise LocalError(
            f"account {account} has no pipeline {name}: run ansible-playbook site.yml first"
        ) from None
    identity = client.start_pipeline_execution(name=name)["pipelineExecutionId"]
    execution = Execution(
        stack, name, account,
        source if isinstance(source, Source) else Source.of_folder(source),
        approve, keep,
        {"codepipeline.PipelineExecutionId": identity, "codepipeline.PipelineName": name},
        definition["roleArn"], definition["artifactStore"]["location"], {},
    )  # fmt: skip
    green = False
    try:
        green = all(execution.stage(stage, only) for stage in definition["stages"])
    finally:
        execution.ended(green)
    return green


@dataclasses.dataclass(frozen=True)
class Execution:
    """One execution of a pipeline.

    `known` are the variables that its actions have set, `artifacts` what its sources gave.
    """

    stack: Stack
    pipeline: str
    account: str
    source: Source
    approve: Approve
    keep: Path | None
    known: Known
    role: str
    bucket: str
    artifacts: dict[str, Artifact]

    def stage(self, stage: dict[str, Any], only: Collection[str]) -> bool:
        """Run a stage's actions by their order, unless its entry condition skips it."""
        actions = [a for a in stage["actions"] if not only or a["name"] in only or _gives(a)]
        if actions and not self._enters(stage):
            return True
        for action in sorted(actions, key=lambda action: int(action.get("runOrder", 1))):
            _say(f"{self.pipeline} · {stage['name']} · {action['name']}")
            if not self._run(action) or self._is_cancelled():
                _say(f"{stage['name']} · {action['name']} FAILED; what comes after it does not run")
                return False
        return True

    def ended(self, green: bool) -> None:
        """Tell the emulator how the execution ended, as a job worker would tell of its job."""
        client = self.stack.client("codepipeline", self.account)
        if green:
            client.put_job_success_result(jobId=self._identity)
        else:
            failure = {"type": "JobFailed", "message": "An action failed."}
            client.put_job_failure_result(jobId=self._identity, failureDetails=failure)

    @property
    def _identity(self) -> str:
        return self.known["codepipeline.PipelineExecutionId"]

    def _is_cancelled(self) -> bool:
        """Whether the pipeline was changed meanwhile: no action of this execution starts then."""
        found = self.stack.client("codepipeline", self.account).get_pipeline_execution(
            pipelineName=self.pipeline, pipelineExecutionId=self._identity
        )
        if cancelled := found["pipelineExecution"]["status"] == "Cancelled":
            _say(f"{self.pipeline}: cancelled. {found['pipelineExecution']['statusSummary']}")
        return bool(cancelled)

    def _enters(self, stage: dict[str, Any]) -> bool:
        """Whether a stage's entry condition is met; one that is not skips the stage here."""
        for condition in stage.get("beforeEntry", {}).get("conditions", []):
            if condition["result"] != "SKIP":
                raise LocalError(f"{stage['name']}: result {condition['result']} is not supported")
            if not all(_met(rule, self.known) for rule in condition["rules"]):
                _say(f"{self.pipeline} · {stage['name']} skipped: its entry condition is not met")
                return False
        return True

    def _run(self, action: dict[str, Any]) -> bool:
        kind, settings = action["actionTypeId"], action.get("configuration", {})
        match kind["category"], kind["provider"]:
            case "Source", provider:
                return self._source(action, settings if provider == "S3" else None)
            case "Approval", _:
                shown = [settings.get("CustomData") or "Approve?"]
                shown += [settings[k] for k in ("ExternalEntityLink",) if k in settings]
                return self.approve(" ".join(resolve(text, self.known) for text in shown))
            case "Build", "CodeBuild":
                build = action_of(
                    action, account=self.account, pipeline=self.pipeline, known=self.known
                )
                inputs = [artifact["name"] for artifact in action["inputArtifacts"]]
                sources = {name: self.artifacts[name] for name in inputs}
                outcome = run_action(self.stack, build, sources, self.keep)
                if space := action.get("namespace"):
                    self.known.update({f"{space}.{k}": v for k, v in outcome.exported.items()})
                return outcome.succeeded
        raise LocalError(f"{kind['category']} by {kind['provider']} is not supported here")

    def _source(self, action: dict[str, Any], of: Known | None) -> bool:
        """Hand what was pushed, or an object of S3, over to the builds; say what is refused."""
        try:
            s3 = self._s3()
            source = Source.of_object(s3, of["S3Bucket"], of["S3ObjectKey"]) if of else self.source
            _say(f"source: {source.name}")
            for output in action.get("outputArtifacts", []):
                name = output["name"]
                self.artifacts[name] = hand_over(
                    s3, source, bucket=self.bucket, pipeline=self.pipeline, name=name
                )
        except ClientError as refused:
            _say(f"source: {refused}")
            return False
        return True

    def _s3(self) -> Any:
        """Return a client of S3 with the pipeline's role."""
        keys = self.stack.client("sts", self.account).assume_role(
            RoleArn=self.role,
            RoleSessionName="CodePipeline",
            # The emulator takes it for aws:SourceArn.
            ExternalId=f"arn:aws:codepipeline:{REGION}:{self.account}:{self.pipeline}",
        )["Credentials"]
        return self.stack.client("s3", self.account, keys)


def _gives(action: dict[str, Any]) -> bool:
    """Whether an action is a source: without it no other has anything to work on."""
    return bool(action["actionTypeId"]["category"] == "Source")


def _met(rule: dict[str, Any], known: Known) -> bool:
    """Whether a rule of a condition is met.

    https://docs.aws.amazon.com/codepipeline/latest/userguide/rule-reference-VariableCheck.html
    """
    provider: str = rule["ruleTypeId"]["provider"]
    settings: Known = rule["configuration"]
    if provider != "VariableCheck" or settings["Operator"] not in {"EQ", "NE"}:
        raise LocalError(f"rule {rule['name']}: {provider} {settings} is not supported here")
    equal = resolve(settings["Variable"], known) == settings["Value"]
    return equal if settings["Operator"] == "EQ" else not equal


def _say(text: str) -> None:
    sys.stderr.write(f"[pipeline] {text}\n")
    sys.stderr.flush()
