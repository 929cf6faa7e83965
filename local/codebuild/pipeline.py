"""Run an emulated pipeline's stages in their order, as CodePipeline would, on this machine."""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from local.codebuild.action import action_of, resolve, run_action
from local.codebuild.artifacts import Artifact, hand_over
from local.codebuild.source import Source
from local.errors import LocalError
from local.stack import Stack
from local.state import REGION

_REFERENCE = re.compile(r"#\{([^}]+)\}")

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
    known: Mapping[str, str] = MappingProxyType({}),
    approve: Approve = ask,
    keep: Path | None = None,
    image: Mapping[str, str] = MappingProxyType({}),
) -> bool:
    """Start an execution and run its actions, and then those of the executions that it started.

    Returns whether all actions of the last one succeeded.

    Args:
        stack: where the pipeline is.
        name: the pipeline's name.
        account: the account that hosts it.
        source: the source artifact, or the folder to make it of.
        only: names of the actions to run; empty means all.
        known: what actions that are not run would have set, by names with their namespaces.
        approve: decides manual approvals.
        keep: where the reports of the builds go.
        image: variables that the image of the builds sets.

    """
    pushed = source if isinstance(source, Source) else Source.of_folder(source)
    line = Line(stack, account, pushed, approve, keep, only, image)
    green, waiting = False, [(name, dict(known))]
    while waiting:
        execution = line.start(*waiting.pop(0))
        green = execution.run()
        waiting += [(other, {**known, **given}) for other, given in execution.started]
    return green


@dataclasses.dataclass(frozen=True)
class Line:
    """What the executions of one call have in common."""

    stack: Stack
    account: str
    source: Source
    approve: Approve
    keep: Path | None
    only: Collection[str]
    image: Mapping[str, str]

    def start(self, name: str, known: Known) -> "Execution":
        """Start an execution of a pipeline, of which the variables `known` are given."""
        client = self.stack.client("codepipeline", self.account)
        try:
            definition: dict[str, Any] = client.get_pipeline(name=name)["pipeline"]
        except client.exceptions.PipelineNotFoundException:
            raise LocalError(
                f"account {self.account} has no pipeline {name}: "
                "run ansible-playbook site.yml first"
            ) from None
        started = client.start_pipeline_execution(name=name)["pipelineExecutionId"]
        defaults = {
            f"variables.{variable['name']}": variable["defaultValue"]
            for variable in definition.get("variables", [])
        }
        own = {"codepipeline.PipelineExecutionId": started, "codepipeline.PipelineName": name}
        return Execution(self, name, definition, {**defaults, **own, **known}, {}, [])


@dataclasses.dataclass(frozen=True)
class Execution:
    """One execution of a pipeline.

    `known` are the variables that its actions have set, `artifacts` what its sources gave, and
    `started` the pipelines that it started, with the variables that it gave them.
    """

    line: Line
    pipeline: str
    definition: dict[str, Any]
    known: Known
    artifacts: dict[str, Artifact]
    started: list[tuple[str, Known]]

    def run(self) -> bool:
        """Run the stages; tell the emulator how it ended, as a job worker would tell of its job."""
        client = self.line.stack.client("codepipeline", self.line.account)
        green = False
        try:
            green = all(self._stage(stage) for stage in self.definition["stages"])
        finally:
            if green:
                client.put_job_success_result(jobId=self._identity)
            else:
                failure = {"type": "JobFailed", "message": "An action failed."}
                client.put_job_failure_result(jobId=self._identity, failureDetails=failure)
        return green

    def _stage(self, stage: dict[str, Any]) -> bool:
        """Run a stage's actions by their order, unless its entry condition skips or fails it."""
        only = self.line.only
        actions = [a for a in stage["actions"] if not only or a["name"] in only or _gives(a)]
        if refused := self._refused(stage):
            return refused == "SKIP"
        for action in sorted(actions, key=lambda action: int(action.get("runOrder", 1))):
            _say(f"{self.pipeline} · {stage['name']} · {action['name']}")
            if not self._run(action) or self._is_cancelled():
                _say(f"{stage['name']} · {action['name']} FAILED; what comes after it does not run")
                return False
        return True

    @property
    def _identity(self) -> str:
        return self.known["codepipeline.PipelineExecutionId"]

    def _is_cancelled(self) -> bool:
        """Whether the pipeline was changed meanwhile: no action of this execution starts then."""
        client = self.line.stack.client("codepipeline", self.line.account)
        found = client.get_pipeline_execution(
            pipelineName=self.pipeline, pipelineExecutionId=self._identity
        )
        if cancelled := found["pipelineExecution"]["status"] == "Cancelled":
            _say(f"{self.pipeline}: cancelled. {found['pipelineExecution']['statusSummary']}")
        return bool(cancelled)

    def _refused(self, stage: dict[str, Any]) -> str:
        """Return the result of a stage's entry condition that is not met, if there is one."""
        for condition in stage.get("beforeEntry", {}).get("conditions", []):
            result: str = condition["result"]
            if result not in {"SKIP", "FAIL"}:
                raise LocalError(f"{stage['name']}: result {result} is not supported")
            if not all(self._holds(rule) for rule in condition["rules"]):
                came = "skipped" if result == "SKIP" else "FAILED"
                _say(f"{self.pipeline} · {stage['name']} {came}: its entry condition is not met")
                return result
        return ""

    def _holds(self, rule: dict[str, Any]) -> bool:
        """Whether a rule is met, or asks for what an action that is left out would have told."""
        name = _REFERENCE.fullmatch(rule["configuration"]["Variable"])
        is_left_out = self.line.only and name and name[1] not in self.known
        return bool(is_left_out) or _met(rule, self.known)

    def _run(self, action: dict[str, Any]) -> bool:
        kind, settings = action["actionTypeId"], action.get("configuration", {})
        match kind["category"], kind["provider"]:
            case "Source", provider:
                return self._fetch(action, settings if provider == "S3" else None)
            case "Approval", _:
                shown = [settings.get("CustomData") or "Approve?"]
                shown += [settings[k] for k in ("ExternalEntityLink",) if k in settings]
                return self.line.approve(" ".join(resolve(text, self.known) for text in shown))
            case "Build", "CodeBuild":
                return self._build(action)
            case "Invoke", "CodePipeline":
                return self._start(settings)
        raise LocalError(f"{kind['category']} by {kind['provider']} is not supported here")

    def _fetch(self, action: dict[str, Any], of: Known | None) -> bool:
        """Hand what was pushed, or an object of S3, over to the builds; say what is refused."""
        try:
            s3 = self._s3()
            pushed = self.line.source
            source = Source.of_object(s3, of["S3Bucket"], of["S3ObjectKey"]) if of else pushed
            _say(f"source: {source.name}")
            bucket = self.definition["artifactStore"]["location"]
            for output in action.get("outputArtifacts", []):
                name = output["name"]
                self.artifacts[name] = hand_over(
                    s3, source, bucket=bucket, pipeline=self.pipeline, name=name
                )
        except ClientError as refused:
            _say(f"source: {refused}")
            return False
        if space := action.get("namespace"):
            self.known[f"{space}.CommitId"] = source.name
        return True

    def _build(self, action: dict[str, Any]) -> bool:
        build = action_of(
            action, account=self.line.account, pipeline=self.pipeline, known=self.known
        )
        sources = {a["name"]: self.artifacts[a["name"]] for a in action["inputArtifacts"]}
        outcome = run_action(
            self.line.stack, build, sources, keep=self.line.keep, image=self.line.image
        )
        if space := action.get("namespace"):
            self.known.update({f"{space}.{k}": v for k, v in outcome.exported.items()})
        return outcome.succeeded

    def _start(self, settings: Known) -> bool:
        """Start another pipeline, as this one's role: it begins when this execution has ended.

        https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-PipelineInvoke.html
        """
        name = settings["PipelineName"]
        may = self.line.stack.client("iam", self.line.account).simulate_principal_policy(
            PolicySourceArn=self.definition["roleArn"],
            ActionNames=["codepipeline:StartPipelineExecution"],
            ResourceArns=[f"arn:aws:codepipeline:{REGION}:{self.line.account}:{name}"],
        )["EvaluationResults"]
        if {decision["EvalDecision"] for decision in may} != {"allowed"}:
            _say(f"{self.definition['roleArn']} may not start {name}")
            return False
        given = json.loads(resolve(settings.get("Variables", "[]"), self.known))
        self.started.append((name, {f"variables.{v['name']}": v["value"] for v in given}))
        return True

    def _s3(self) -> Any:
        """Return a client of S3 with the pipeline's role."""
        account = self.line.account
        keys = self.line.stack.client("sts", account).assume_role(
            RoleArn=self.definition["roleArn"],
            RoleSessionName="CodePipeline",
            # The emulator takes it for aws:SourceArn.
            ExternalId=f"arn:aws:codepipeline:{REGION}:{account}:{self.pipeline}",
        )["Credentials"]
        return self.line.stack.client("s3", account, keys)


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
