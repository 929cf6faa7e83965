"""The pipeline's contract: nothing but a proof of success is success."""

import base64
import contextlib
import io
import itertools
import json
import random
from typing import Any

import pytest

from runner.commands import invoke as invoking
from runner.commands.invoke import _client, believe
from runner.errors import Unproved
from tests.runner.report import documents

EVENT = {"command": "migrate", "run_id": "run-1", "options": {}}
ERROR = {"kind": "migration", "message": "no", "fix": None, "details": []}
LATE = {**ERROR, "kind": "incomplete"}


def document(**changes: Any) -> dict[str, Any]:
    """Return a run that had nothing to do, with changes."""
    return documents.document(**changes)


def answer(payload: object, *, failed: str | None = None) -> dict[str, Any]:
    """Return what boto3's invoke returns."""
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    error = {"FunctionError": failed} if failed else {}
    tail = base64.b64encode(b"START\nlast words\n").decode()
    return {"StatusCode": 200, "Payload": io.BytesIO(text), "LogResult": tail, **error}


def raised(body: object, **more: Any) -> dict[str, Any]:
    """Return the answer of a handler that raised with a document as its text."""
    failure = {"errorMessage": json.dumps(body), "errorType": "RunFailed", **more}
    return answer(failure, failed="Unhandled")


@pytest.mark.parametrize(
    ("function", "region"),
    [("arn:aws:lambda:eu-west-1:111122223333:function:f:read", "eu-west-1"), ("f", "eu-central-1")],
    ids=["of its ARN", "of the environment"],
)
def test_function_is_called_in_its_region(
    function: str, region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CodeBuild says AWS_REGION, the pipeline's own, and the stage may have another."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-central-1")
    assert _client(function).meta.region_name == region


@pytest.mark.parametrize("body", [document(), documents.run()], ids=["noop", "applied"])
def test_success_with_proof_is_believed(body: dict[str, Any]) -> None:
    assert believe(answer(body), function="f", event=EVENT) == body


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("plan", {}),
        ("migrate", {"dry_run": True}),
        ("repair", {}),
        ("adopt", {"tool": "knex"}),
        ("rollback", {"steps": 1}),
        ("baseline", {"version": "1"}),
    ],
)
def test_plan_is_believed_where_a_plan_was_asked_for(command: str, options: Any) -> None:
    body = document(command=command, outcome="planned")
    event = {"command": command, "run_id": "run-1", "options": options}
    assert believe(answer(body), function="f", event=event) == body


def test_failure_with_a_document_is_given_to_the_reader() -> None:
    assert believe(raised(documents.failure()), function="f", event=EVENT)["exit_code"] == 3


def test_every_mutation_of_a_good_answer_is_believed_only_as_the_same_outcome() -> None:
    """Nothing that was changed on the way may turn green, of whatever type the change is."""
    odd = [
        None,
        True,
        False,
        0,
        1,
        3,
        -1,
        0.0,
        "",
        "applied",
        "noop",
        "planned",
        [],
        {},
        [1],
        {"a": 1},
    ]
    believed = []
    for body in (documents.failure(), document(outcome="incomplete", exit_code=8, error=LATE)):
        for key, value in itertools.product(body, odd):
            for wrap in (answer, raised):
                with contextlib.suppress(Unproved):
                    found = believe(wrap({**body, key: value}), function="f", event=EVENT)
                    believed += [(key, value)] if found["exit_code"] == 0 else []
    assert believed == []


ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, 3, 8, -1, 0.0, 1.0, 2**70, float("nan"), "", "0", "None", "applied",
    "noop", "planned", "failed", "incomplete", "run-1", "run-2", "migrate", "plan", [], {}, [[]],
    [1], [None], {"a": 1}, ERROR, LATE, [documents.task("V1__a.sql")],
    [documents.entry("V1__a.sql")],
)  # fmt: skip
MUTABLE = (
    "command", "run_id", "result_version", "outcome", "exit_code", "error", "pending", "applied",
)  # fmt: skip


def is_a_success(answered: dict[str, Any], body: dict[str, Any]) -> bool:
    """Say by the contract's own words whether an answer proves success."""
    told = [body.get(name) for name in ("command", "run_id", "outcome", "error", "pending")]
    numbers = [(type(body.get(name)), body.get(name)) for name in ("result_version", "exit_code")]
    return (
        "FunctionError" not in answered
        and numbers == [(int, 1), (int, 0)]
        and told in (["migrate", "run-1", which, None, []] for which in ("applied", "noop"))
        and bool(body.get("applied")) == (body.get("outcome") == "applied")
    )


def test_answers_that_were_changed_in_any_way_are_green_only_where_they_prove_it() -> None:
    """Whatever is changed together, by a seed: what is no success is red, and that in one line."""
    chance = random.Random(20261125)
    bodies = (
        document(),
        documents.run(),
        documents.failure(),
        documents.failure(outcome="incomplete", error=LATE),
    )
    green = 0
    for _ in range(6000):
        body = dict(chance.choice(bodies))
        for name in chance.sample(MUTABLE, chance.randint(0, 3)):
            body[name] = chance.choice(ODD)
            if chance.random() < 0.1:
                del body[name]
        given = chance.choice((answer, raised))(body)
        if chance.random() < 0.3:
            given["FunctionError"] = chance.choice([*ODD[1:], "Handled", "Unhandled"])
        elif chance.random() < 0.3:
            given.pop("FunctionError", None)
        said = ""
        try:
            if believe(given, function="f", event=EVENT)["exit_code"] == 0:
                assert is_a_success(given, body)
                green += 1
        except Unproved as error:
            said = error.message
        assert "\n" not in said
    assert green > 100


def test_success_is_believed_only_while_nothing_in_it_is_odd() -> None:
    """A success with one part of another type or another value is no proof."""
    odd = [None, True, "", "x", -1, 7.5, [], {}, [1], {"a": 1}]
    body = documents.run()
    harmless = {"warnings", "started_at", "duration_ms", "target", "data"}
    for key, value in itertools.product(set(body) - harmless, odd):
        if body[key] != value or type(body[key]) is not type(value):
            with pytest.raises(Unproved):
                believe(answer({**body, key: value}), function="f", event=EVENT)


@pytest.mark.parametrize(
    "wrong",
    [
        answer(b""),
        answer(b"null"),
        answer(b"<html>"),
        answer({"statusCode": 200}),
        answer({"statusCode": 500, "body": "error"}),
        answer(document(result_version=2)),
        answer(document(run_id="another")),
        answer(documents.failure()),
        answer(document(outcome="failed", exit_code=0)),
        answer(document(outcome="incomplete", exit_code=8)),
        answer(document(outcome="wonderful")),
        answer(document(command="status")),
        answer(document(outcome="planned")),
        answer(document(outcome="applied")),
        answer(document(pending=documents.planned()["pending"])),
        raised(documents.failure(exit_code=4)),
        raised(documents.failure(outcome="incomplete")),
        answer(document(exit_code=1)),
        answer(document(), failed="Unhandled"),
        raised(document()),
        answer({"errorMessage": "Task timed out after 900.00 seconds"}, failed="Unhandled"),
        answer({"errorMessage": "No module named 'psycopg2'"}, failed="Unhandled"),
        answer({"errorMessage": None}, failed="Unhandled"),
        answer([], failed="Handled"),
    ],
    ids=[
        "empty",
        "null",
        "not json",
        "an api gateway answer",
        "an error in a body",
        "another version",
        "another run",
        "failed without raising",
        "failed with exit code 0",
        "incomplete without raising",
        "unknown outcome",
        "another command",
        "a plan that nobody asked for",
        "applied, and nothing was",
        "success with files left",
        "exit code of another error",
        "outcome of another error",
        "success with an exit code",
        "success and a function error",
        "success raised",
        "timed out",
        "import error",
        "no message",
        "handled",
    ],
)
def test_anything_else_is_red_and_says_where_the_log_is(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unproved) as error:
        believe(wrong, function="arn:aws:lambda:r:1:function:my-runner:live", event=EVENT)
    assert error.value.exit_code == 1
    assert "aws logs tail /aws/lambda/my-runner" in str(error.value.fix)
    assert "last words" in error.value.details


def test_call_goes_on_while_rows_are_done_and_not_where_none_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One file may take many calls: then it is not the number of files that tells progress."""
    rows = iter((10, 20, 20, 30))
    called = []

    def call(*_: Any) -> dict[str, Any]:
        far = {**documents.BACKFILL, "rows": next(rows)}
        left = {**documents.task("V1__t.sql"), "backfill": far}
        called.append(far["rows"])
        return raised(
            documents.failure(outcome="incomplete", exit_code=8, error=LATE, pending=[left])
        )

    monkeypatch.setattr(invoking, "_client", lambda _: None)
    monkeypatch.setattr(invoking, "_call", call)
    found = invoking.invoke("f", run_id="run-1", command="migrate", options={}, progress=print)
    assert (found["outcome"], called) == ("incomplete", [10, 20, 20])
