"""Which pipelines CodePipeline would take, where moto takes any.

A value of an action's configuration has 1 to 1000 characters (ActionConfigurationValue in the
API's model), as it stands in the definition: its references to variables count as they are
written (User Guide, "AWS CodeBuild build and test action reference", EnvironmentVariables).
"""

from collections.abc import Callable, Iterator
from typing import Any

from local.emulator.patches import module, wrap

models = module("moto.codepipeline.models")
exceptions = module("moto.core.exceptions")

_LONGEST = 1000


def patch() -> None:
    """Refuse what is made or changed where it does not fit."""
    for name in ("create_pipeline", "update_pipeline"):
        wrap(models, f"CodePipelineBackend.{name}", _fitting)


def _fitting(original: Callable[..., Any]) -> Callable[..., Any]:
    def take(backend: Any, pipeline: dict[str, Any], *more: Any) -> Any:
        if wrong := [*_problems(pipeline)]:
            text = f"{len(wrong)} validation errors detected: {'; '.join(wrong)}"
            raise exceptions.JsonRESTError("ValidationException", text)
        return original(backend, pipeline, *more)

    return take


def _problems(pipeline: dict[str, Any]) -> Iterator[str]:
    for stage in pipeline["stages"]:
        for action in stage["actions"]:
            for name, value in action.get("configuration", {}).items():
                if not 0 < len(value) <= _LONGEST:
                    where = f"{name} of {action['name']} in {stage['name']}"
                    yield f"{where} has {len(value)} characters, and 1 to {_LONGEST} are taken"
