"""A definition of a state machine is refused for whatever is unknown in it, or wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from local.emulator.definitions import problems
from tests.policies.rendered import ROOT, document

MACHINE = document(
    ROOT / "roles/fleet/templates/machine.yml.j2", "local", item="live", fleet_at_once=3
)


def others(definition: dict[str, Any]) -> dict[str, Any]:
    return definition["States"]["Others"]


def own(definition: dict[str, Any]) -> dict[str, Any]:
    return others(definition)["ItemProcessor"]["States"]["Own"]


def test_what_the_role_makes_is_taken() -> None:
    assert problems(json.dumps(MACHINE)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(StartAt="Nowhere"), "there is no such state"),
        (lambda d: d.update(QueryLanguage="JSONata"), "/QueryLanguage: unknown field"),
        (lambda d: d["States"]["Done"].update(Type="Wait"), "of type Wait is unknown"),
        (lambda d: d["States"]["First"].update(Default="x"), "there is no state x"),
        (lambda d: others(d).update(Next="Done", End=True), "exactly one of Next and End"),
        (lambda d: others(d).update(MaxConcurency=1), "/MaxConcurency: unknown field"),
        (lambda d: others(d).update(MaxConcurrency="3"), "/MaxConcurrency: of another kind"),
        (lambda d: others(d).update(MaxConcurrency=True), "/MaxConcurrency: of another kind"),
        (lambda d: others(d).update(ToleratedFailureCount=1), "exclude each other"),
        (lambda d: others(d).update(Label="x" * 41), "at most 40 characters"),
        (lambda d: others(d).update(Label="a:b"), "at most 40 characters"),
        (lambda d: others(d)["ItemProcessor"].update(ProcessorConfig={"Mode": "INLINE"}),
         "/ProcessorConfig: not"),
        (lambda d: others(d)["ItemReader"]["ReaderConfig"].update(InputType="XML"), "/ItemReader"),
        (lambda d: others(d)["ResultWriter"]["Parameters"].update(Key="x"), "/ResultWriter: not"),
        (lambda d: own(d).update(Resource="arn:aws:states:::lambda:invoke.sync"), "/Resource"),
        (lambda d: own(d)["Parameters"].update(Qualifier="live"), "/Parameters"),
        (lambda d: own(d)["Parameters"].update({"Payload.$": "$..x"}), "no path that is known"),
        (lambda d: own(d).update(Credentials={"Role": "x"}), "/Credentials: not a RoleArn"),
        (lambda d: own(d)["Retry"][0].update(ErrorEquals=[]), "ErrorEquals is missing"),
        (lambda d: own(d)["Retry"][0].update(JitterStrategy="SOME"), "JitterStrategy"),
    ],
)  # fmt: skip
def test_what_is_unknown_or_wrong_is_refused(
    change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    definition = json.loads(json.dumps(MACHINE))
    change(definition)
    assert any(said in problem for problem in problems(json.dumps(definition)))
