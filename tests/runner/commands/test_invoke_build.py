"""A run that a build does in the function's place is believed as little as an answer."""

import io
import json
from typing import Any

import pytest

from runner import codebuild
from runner.codebuild import Ended
from runner.commands import invoke as invoking
from runner.errors import Interrupted, RunnerError, Unproved
from runner.result import Document
from tests.runner.report.documents import document, failure

BUILD = "arn:aws:codebuild:eu-central-1:111122223333:build/shop-runner:0a1b-2c"
LOG = "aws logs tail /aws/codebuild/shop-runner --since 12h"


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the function start a build, and give what says how it ends."""

    def answer(*_: Any) -> dict[str, Any]:
        return {"Payload": io.BytesIO(json.dumps({"build": BUILD}).encode())}

    def end(came: Ended | BaseException) -> Document:
        def follow(*_: Any) -> Ended:
            if isinstance(came, BaseException):
                raise came
            return came

        monkeypatch.setattr(invoking, "_client", lambda _: None)
        monkeypatch.setattr(invoking, "_call", answer)
        monkeypatch.setattr(codebuild, "follow", follow)
        said: list[str] = []
        return invoking.invoke(
            "f:live", run_id="run-1", command="migrate", options={}, progress=said.append
        )

    return end


def left(status: str, body: object) -> Ended:
    """Return the end of a build that left a result."""
    return Ended(status, json.dumps(body).encode(), LOG)


def test_a_result_that_agrees_with_its_build_is_believed(ended: Any) -> None:
    assert ended(left("SUCCEEDED", document()))["outcome"] == "noop"
    assert ended(left("FAILED", failure()))["exit_code"] == 3


@pytest.mark.parametrize(
    "came",
    [
        Ended("SUCCEEDED", None, LOG),
        Ended("TIMED_OUT", None, LOG),
        Ended("SUCCEEDED", b"{", LOG),
        left("FAILED", document()),
        left("SUCCEEDED", failure()),
        left("SUCCEEDED", document(run_id="another")),
        left("SUCCEEDED", {**document(), "result_version": 0}),
    ],
    ids=["none", "stopped", "no JSON", "red build", "green build", "another run", "version"],
)
def test_a_build_without_a_proof_is_red(ended: Any, came: Ended) -> None:
    with pytest.raises(Unproved) as caught:
        ended(came)
    assert LOG in (caught.value.fix or "")


def test_who_is_interrupted_is_told_how_to_follow_on(ended: Any) -> None:
    with pytest.raises(Interrupted) as caught:
        ended(KeyboardInterrupt())
    again = f"runner invoke --function f:live --run-id run-1 --follow {BUILD} migrate"
    assert again in (caught.value.fix or "")


def test_values_of_an_event_reach_the_build_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    class Session:
        def client(self, _: str) -> Any:
            return self

        def start_build(self, **request: Any) -> dict[str, Any]:
            sent.update(request)
            return {"build": {"arn": BUILD}}

    monkeypatch.setattr("boto3.Session", Session)
    event = {"command": "migrate", "options": {"without_evidence": "$(rm -rf /) `id` \"'\n#{x} ä"}}
    assert codebuild.start("shop-runner", event, token="t") == {"build": BUILD}
    (variable,) = sent["environmentVariablesOverride"]
    assert codebuild.given({variable["name"]: variable["value"]}) == event
    assert set(sent) == {"projectName", "idempotencyToken", "environmentVariablesOverride"}
    with pytest.raises(RunnerError, match="say less"):
        codebuild.start("shop-runner", {"options": "x" * 3000}, token="t")
