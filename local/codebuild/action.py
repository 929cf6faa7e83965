"""Run a CodeBuild action of an emulated pipeline on this machine, as its service role."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local.codebuild.artifacts import Artifact, fetch
from local.codebuild.buildspec import parse
from local.codebuild.credentials import CredentialsEndpoint
from local.codebuild.shell import Build, Outcome, say
from local.codebuild.source import Source
from local.errors import LocalError
from local.process.environment import basics
from local.stack import Stack
from local.state import REGION

# Characters of a value: ActionConfigurationValue in the API's model.
_LONGEST = 1000
_REFERENCE = re.compile(r"#\{([^}]+)\}")
# What a client needs to reach the emulators; nothing of the caller's own AWS settings.
_EMULATOR = re.compile(r"AWS_(ENDPOINT_URL.*|REGION|DEFAULT_REGION|EC2_METADATA_DISABLED)|LOCAL_.*")


@dataclasses.dataclass(frozen=True)
class Action:
    """One CodeBuild action of a pipeline's execution."""

    account: str
    name: str
    project: str
    variables: Mapping[str, str]
    pipeline: str
    primary: str | None = None  # of several artifacts the one whose buildspec is run


def resolve(text: str, known: Mapping[str, str]) -> str:
    """Return a value of an action's configuration, its references to variables resolved.

    Raises:
        LocalError: a variable is not known, or the value becomes longer than CodePipeline takes.

    """

    def value(reference: re.Match[str]) -> str:
        if reference[1] not in known:
            raise LocalError(f"the pipeline refers to {reference[0]}, which nothing sets")
        return known[reference[1]]

    resolved = _REFERENCE.sub(value, text)
    if len(resolved) > _LONGEST:
        raise LocalError(f"longer than the {_LONGEST} characters of a value: {resolved[:60]}…")
    return resolved


def action_of(
    definition: Mapping[str, Any], *, account: str, pipeline: str, known: Mapping[str, str]
) -> Action:
    """Read an action of a pipeline's definition, its references to `known` variables resolved.

    Raises:
        LocalError: it refers to a variable that nobody set, or to a secret or parameter.

    """
    settings = definition["configuration"]
    variables = {}
    for variable in json.loads(settings.get("EnvironmentVariables", "[]")):
        if variable.get("type", "PLAINTEXT") != "PLAINTEXT":
            raise LocalError(f"{variable['name']}: type {variable['type']} is not supported here")
        variables[variable["name"]] = resolve(variable["value"], known)
    return Action(
        account=account,
        name=definition["name"],
        project=settings["ProjectName"],
        variables=variables,
        pipeline=pipeline,
        primary=settings.get("PrimarySource"),
    )


def run_action(
    stack: Stack,
    action: Action,
    inputs: Mapping[str, Artifact],
    *,
    keep: Path | None,
    image: Mapping[str, str],
) -> Outcome:
    """Run the action's build in a folder of its own, made of its primary source.

    Parameters:
        inputs: the action's input artifacts by their names.
        keep: where to put the files that the build leaves in `reports`.
        image: variables that the build's image sets.

    Raises:
        LocalError: there are several, and nothing says which is the primary one.
    """
    primary = action.primary or next(iter(inputs))
    if primary not in inputs or (len(inputs) > 1 and not action.primary):
        raise LocalError(f"action {action.name}: PrimarySource is none of {', '.join(inputs)}")
    build = _Build.of(stack, action, image)
    with _running(build) as let:
        return _ran(build, inputs, primary, keep) if let else _NOT_RUN


def _ran(
    build: "_Build", inputs: Mapping[str, Artifact], primary: str, keep: Path | None
) -> Outcome:
    try:
        sources = build.sources(inputs)
    except ClientError as refused:
        say(f"phase DOWNLOAD_SOURCE FAILED: {refused}")
        return _NOT_RUN
    with contextlib.ExitStack() as stack_of_folders:
        folders = {
            name: stack_of_folders.enter_context(source.unpacked(build.stack.state.tmp))
            for name, source in sources.items()
        }
        folder = folders.pop(primary)
        outcome = build.run(folder, folders)
        if keep and (folder / "reports").is_dir():
            shutil.copytree(folder / "reports", keep, dirs_exist_ok=True)
        return outcome


_NOT_RUN = Outcome(succeeded=False, exported={})
# How many builds of a project run, by its account and name, in this process's executions.
_builds: Counter[tuple[str, str]] = Counter()
_counting = threading.Lock()


@contextlib.contextmanager
def _running(build: "_Build") -> Iterator[bool]:
    """Count a build while it runs, and tell whether it may: above the project's limit none does.

    It does not wait either: https://docs.aws.amazon.com/codebuild/latest/userguide/builds-working.html
    """
    project = (build.action.account, build.action.project)
    limit = build.project.get("concurrentBuildLimit")
    with _counting:
        let = limit is None or _builds[project] < limit
        _builds[project] += let
    if not let:
        say(f"AccountLimitExceededException: {project[1]} runs {limit} at once already")
    try:
        yield let
    finally:
        with _counting:
            _builds[project] -= let


@dataclasses.dataclass(frozen=True)
class _Build:
    """A build of an action's project."""

    stack: Stack
    action: Action
    project: Mapping[str, Any]
    identity: str
    image: Mapping[str, str]

    @classmethod
    def of(cls, stack: Stack, action: Action, image: Mapping[str, str]) -> "_Build":
        identity = f"{action.project}:{uuid.uuid4()}"
        return cls(stack, action, _project(stack, action), identity, image)

    def sources(self, inputs: Mapping[str, Artifact]) -> dict[str, Source]:
        """Fetch the input artifacts as the service role."""
        s3 = self.stack.client("s3", self.action.account, self._assume())
        return {name: fetch(s3, artifact) for name, artifact in inputs.items()}

    def run(self, source: Path, others: Mapping[str, Path]) -> Outcome:
        """Run the commands in the primary source's folder."""
        file = self.project["source"].get("buildspec") or "buildspec.yml"
        text = file if "\n" in file else _read(source / file)
        spec = parse(text, "the project's buildspec" if "\n" in file else file)
        with CredentialsEndpoint(self._assume) as credentials:
            environment = {
                **_basics(self.stack, self.action),
                **self.image,
                **_codebuild(self.action, self.project, self.identity, source),
                "PYTHONPATH": self._python_path(source),
                **{f"CODEBUILD_SRC_DIR_{name}": str(path) for name, path in others.items()},
                **credentials.environment,
            }
            return Build(spec, source, environment).run()

    def _python_path(self, source: Path) -> str:
        """Put the source first: the environment that is linked here has the clone's package."""
        return os.pathsep.join(filter(None, (str(source), self.image.get("PYTHONPATH"))))

    def _assume(self) -> dict[str, Any]:
        credentials: dict[str, Any] = self.stack.client("sts", self.action.account).assume_role(
            RoleArn=self.project["serviceRole"],
            RoleSessionName=f"AWSCodeBuild-{self.identity.rpartition(':')[2]}",
            ExternalId=self.project["arn"],  # the emulator takes it for aws:SourceArn
        )["Credentials"]
        return credentials


def _project(stack: Stack, action: Action) -> dict[str, Any]:
    found = stack.client("codebuild", action.account).batch_get_projects(names=[action.project])
    if not found["projects"]:
        raise LocalError(
            f"action {action.name}: account {action.account} has no project {action.project}"
        )
    project: dict[str, Any] = found["projects"][0]
    return project


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise LocalError(f"{path} is missing: it says what the build does") from None


def _basics(stack: Stack, action: Action) -> dict[str, str]:
    """Return what any process needs here, and how to reach the emulators."""
    emulator = {
        name: value
        for name, value in stack.environment(action.account).items()
        if _EMULATOR.fullmatch(name)
    }
    own = basics(stack.state.home, stack.state.tmp)
    del own["LANG"]  # the image says nothing of a locale
    return {**own, **emulator}


def _codebuild(
    action: Action, project: Mapping[str, Any], identity: str, source: Path
) -> dict[str, str]:
    """Return CodeBuild's own variables, the project's, and the action's, which win."""
    configured = project.get("environment", {}).get("environmentVariables", [])
    return {
        **{variable["name"]: variable["value"] for variable in configured},
        "CODEBUILD_BUILD_ARN": f"arn:aws:codebuild:{REGION}:{action.account}:build/{identity}",
        "CODEBUILD_BUILD_ID": identity,
        "CODEBUILD_BUILD_NUMBER": "1",
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_CI": "true",
        "CODEBUILD_INITIATOR": f"codepipeline/{action.pipeline}",
        "CODEBUILD_SRC_DIR": str(source),
        "CODEBUILD_START_TIME": str(int(time.time() * 1000)),
        "CI": "true",
        **action.variables,
    }
