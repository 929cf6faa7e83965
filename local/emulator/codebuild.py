"""Make ministack's CodeBuild keep what our projects set and it drops."""
# ruff: noqa: SLF001 (patching private names is this module's purpose)

from collections.abc import Callable
from typing import Any

from local.emulator.patches import module, wrap

codebuild = module("ministack.services.codebuild")

_KEPT = ("concurrentBuildLimit", "logsConfig", "vpcConfig", "queuedTimeoutInMinutes", "cache")
Data = dict[str, Any]


def patch() -> None:
    """Replace how projects are made, changed and described."""
    wrap(codebuild, "_create_project", _keeping)
    wrap(codebuild, "_update_project", _keeping)
    wrap(codebuild, "_project_shape", _telling)


def _telling(described: Callable[[Data], Data]) -> Callable[[Data], Data]:
    return lambda project: described(project) | _kept(project)


def _kept(data: Data) -> Data:
    return {key: data[key] for key in _KEPT if key in data}


def _keeping(original: Callable[[Data], Any]) -> Callable[[Data], Any]:
    def action(data: Data) -> Any:
        response = original(data)
        if project := codebuild._projects.get(data.get("name", "")):
            project |= _kept(data)
            if response[0] == 200:  # noqa: PLR2004 (HTTP's success)
                shape = {"project": codebuild._project_shape(project)}
                return codebuild.json_response(shape)
        return response

    return action
