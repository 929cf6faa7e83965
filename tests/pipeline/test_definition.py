"""The pipeline that a role would make of any inventory: what AWS takes of it."""

import json
from typing import Any

import pytest

from local.state import CLONE
from tests.policies.rendered import document

TEMPLATE = CLONE / "roles/pipeline/templates/stages.yml.j2"
FLEET = {
    "targets": "targets/prod.json",
    "canary": 100,
    "tolerate": "100%",
    "create_schema": True,
}
PROD = {
    "env": "prod",
    "account_id": "444455556666",
    "region": "ap-southeast-2",
    "approval": True,
    "signed": True,
    "contract": True,
    "rehearsal": {"held": "2s", "above": "100GB", "took": "30min", "schema": "tenant_1"},
}


def stages(**changes: Any) -> list[Any]:
    """Return the stages of a pipeline to dev and, with all that a stage may have, to prod."""
    dev = {"env": "dev", "account_id": "111122223333", "region": "ap-southeast-2", "contract": True}
    given = {
        "pipeline_stages": [dev, {**PROD, **changes}],
        "pipeline_name": "schema-migrations",
        "pipeline_project": "schema-migrations",
        "__pipeline_plans": True,
        "__pipeline_planner": "planner.zip",
        "__pipeline_definition": "schema-migrations-definition",
        "__pipeline_alarms": {"topic_arn": "arn:aws:sns:ap-southeast-2:111122223333:alarms"},
    }
    found: Any = document(TEMPLATE, "dev", **given)
    return list(found)


def told(stage: str, action: str, **changes: Any) -> dict[str, str]:
    """Return the variables of a build."""
    (found,) = (
        each["configuration"]
        for one in stages(**changes)
        if one["name"] == stage
        for each in one["actions"]
        if each["name"] == action
    )
    return {each["name"]: each["value"] for each in json.loads(found["EnvironmentVariables"])}


@pytest.mark.parametrize("changes", [{}, {"fleet": FLEET}], ids=["one database", "fleet"])
def test_every_value_of_a_stage_that_has_all_there_is_fits(changes: dict[str, Any]) -> None:
    """As they stand in the definition; some are kept free for longer names than these."""
    lengths = {
        f"{stage['name']} {action['name']} {name}": len(value)
        for stage in stages(**changes)
        for action in stage["actions"]
        for name, value in action["configuration"].items()
    }
    assert {what: length for what, length in lengths.items() if not 0 < length <= 950} == {}


def test_stage_of_a_fleet_says_where_its_targets_are_and_what_bounds_the_migration() -> None:
    said = "--canary 100 --tolerate 100% --create-schema"
    for stage, action, bounds in (
        ("ProdPlan", "Plan", None), ("Prod", "Migrate", said),
        ("Prod", "PlanContract", None), ("Prod", "Contract", said),
    ):  # fmt: skip
        variables = told(stage, action, fleet=FLEET)
        assert variables["FLEET_TARGETS"] == "targets/prod.json"
        assert variables.get("FLEET_BOUNDS") == bounds
    alone = told("Prod", "Migrate")
    assert not {"FLEET_TARGETS", "FLEET_BOUNDS"} & alone.keys()


def test_rehearsal_of_a_fleet_says_in_which_schema() -> None:
    variables = told("ProdPlan", "Rehearse", fleet=FLEET)
    assert variables["REHEARSAL_SCHEMA"] == "tenant_1"
    assert variables["REHEARSAL_LIMITS"] == "--held 2s --above 100GB --took 30min"


def test_what_waits_for_the_new_code_is_rehearsed_where_the_stage_goes_on_to_it() -> None:
    assert told("ProdPlan", "Rehearse")["CONTRACTS"] == "yes"
    assert "CONTRACTS" not in told("ProdPlan", "Rehearse", contract=False)


def test_limits_of_a_rehearsal_may_be_left_out() -> None:
    variables = told("ProdPlan", "Rehearse", rehearsal={})
    assert variables["REHEARSAL_LIMITS"] == ""
    assert "REHEARSAL_SCHEMA" not in variables


def test_approval_of_a_fleet_leads_to_the_plan_of_all_its_states() -> None:
    links = {}
    for fleet in ({}, {"fleet": FLEET}):
        (approve,) = (
            action["configuration"]
            for stage in stages(**fleet)
            if stage["name"] == "Prod"
            for action in stage["actions"]
            if action["name"] == "Approve"
        )
        links[bool(fleet)] = approve["ExternalEntityLink"]
    assert links == {False: "#{ProdRehearsal.REPORT_URL}", True: "#{ProdPlan.REPORT_URL}"}
