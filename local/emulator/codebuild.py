"""Make ministack's CodeBuild keep what our projects set and it drops."""
# ruff: noqa: SLF001 (patching private names is this module's purpose)

import importlib
from collections.abc import Callable
from typing import Any

# ministack has no type information.
codebuild: Any = importlib.import_module("ministack.services.codebuild")

_KEPT = ("concurrentBuildLimit", "logsConfig", "vpcConfig", "queuedTimeoutInMinutes", "cache")
Data = dict[str, Any]


def patch() -> None:
    """Replace how projects are made, changed and described."""
    codebuild._create_project = _keeping(codebuild._create_project)
    codebuild._update_project = _keeping(codebuild._update_project)
    described = codebuild._project_shape
    codebuild._project_shape = lambda project: described(project) | _kept(project)


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
