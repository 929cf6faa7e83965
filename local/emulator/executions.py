"""Make moto's executions of pipelines begin, go on and end as CodePipeline's do.

- One that was started is InProgress until its actions have ended (API Reference,
  PipelineExecution). Nothing here runs actions: who does is to the emulator what a job worker is
  to CodePipeline, with the execution as its one job, and tells the end by PutJobSuccessResult or
  PutJobFailureResult; StopPipelineExecution ends it too.
- A new pipeline starts by itself (User Guide, Create a pipeline: "the pipeline starts to run after
  you create it"). A repository of moto's CodeCommit holds no commit, so that its source fails.
- UpdatePipeline cancels what is under way (API Reference, PipelineExecution: Cancelled, "The
  pipeline's definition was updated before the pipeline execution could be completed"), be it queued
  or waiting for an approval.
"""

from collections.abc import Callable
from typing import Any

from local.emulator.patches import module, wrap

models = module("moto.codepipeline.models")
responses = module("moto.codepipeline.responses")

_CANCELLED = "The pipeline's definition was updated before the pipeline execution was completed."


def patch() -> None:
    """Replace what starts executions and what ends them."""
    wrap(models, "CodePipelineBackend.create_pipeline", _starting)
    wrap(models, "CodePipelineBackend.start_pipeline_execution", _under_way)
    wrap(models, "CodePipelineBackend.update_pipeline", _cancelling)
    wrap(responses, "CodePipelineResponse", _hearing)


def _starting(original: Callable[..., Any]) -> Callable[..., Any]:
    def create(backend: Any, pipeline: dict[str, Any], tags: Any) -> Any:
        answer = original(backend, pipeline, tags)
        identity = backend.start_pipeline_execution(pipeline["name"], None)
        sources = {a["actionTypeId"]["provider"] for a in pipeline["stages"][0]["actions"]}
        if "CodeCommit" in sources:
            _end(backend, identity, "Failed", "The branch does not exist in the repository.")
        return answer

    return create


def _under_way(original: Callable[..., str]) -> Callable[..., str]:
    def start(backend: Any, name: str, variables: Any) -> str:
        identity = original(backend, name, variables)
        backend.pipelines[name].executions[identity].status = "InProgress"
        return identity

    return start


def _cancelling(original: Callable[..., Any]) -> Callable[..., Any]:
    def update(backend: Any, pipeline: dict[str, Any]) -> Any:
        answer = original(backend, pipeline)
        for identity in backend.pipelines[pipeline["name"]].executions:
            _end(backend, identity, "Cancelled", _CANCELLED)
        return answer

    return update


def _end(backend: Any, identity: str, status: str, summary: str | None = None) -> None:
    """End an execution that is under way; one that has ended stays as it is."""
    for pipeline in backend.pipelines.values():
        execution = pipeline.executions.get(identity)
        if execution and execution.status == "InProgress":
            execution.status, execution.status_summary = status, summary


def _hearing(response: Any) -> Any:
    """Add the operations by which a job worker tells how a job ended, and a person ends one."""

    def ending(status: str, parameter: str) -> Callable[[Any], str]:
        def put(self: Any) -> str:
            _end(self.codepipeline_backend, self._get_param(parameter), status)
            return "{}"

        return put

    response.put_job_success_result = ending("Succeeded", "jobId")
    response.put_job_failure_result = ending("Failed", "jobId")
    response.stop_pipeline_execution = ending("Stopped", "pipelineExecutionId")
    return response
