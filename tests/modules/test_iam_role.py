"""Roles that trust each other, made at once, and looked at again."""

import json
from typing import Any

import pytest

from local.stack import Stack
from tests.modules.harness import Module

ACCOUNT = "787878787878"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


@pytest.fixture(scope="module")
def account() -> str:
    """Give these tests an account of their own."""
    return ACCOUNT


def trust(*principals: str) -> dict[str, Any]:
    """Return a trust policy for these."""
    statement = {"Effect": "Allow", "Principal": {"AWS": [*principals]}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_a_role_may_trust_one_that_was_made_a_moment_ago(module: Module) -> None:
    builder = module("iam_role", name="builder", trust=trust(ROOT))
    deployer = module("iam_role", name="deployer", trust=trust(builder["arn"]))
    assert deployer.changed, deployer.message


def test_trust_that_iam_wrote_in_another_way_is_the_same(module: Module, stack: Stack) -> None:
    for name, principals in (("one", [ROOT]), ("two", [ROOT, "arn:aws:iam::676767676767:root"])):
        arguments = {"name": name, "trust": trust(*principals)}
        assert module("iam_role", **arguments).changed
        assert not module("iam_role", **arguments).changed
    outcome = module("iam_role", name="two", trust=trust(ROOT))
    assert outcome.changed
    kept = stack.client("iam", ACCOUNT).get_role(RoleName="two")["Role"]
    assert json.loads(json.dumps(kept["AssumeRolePolicyDocument"])) == {
        **trust(),
        "Statement": [trust(ROOT)["Statement"][0] | {"Principal": {"AWS": ROOT}}],
    }


def test_a_principal_that_does_not_exist_is_named(
    module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    nobody = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    outcome = module("iam_role", name="hopeful", trust=trust(nobody))
    assert "Invalid principal in policy" in outcome.message
    assert nobody in outcome.message


def test_a_look_in_check_mode_tells_whose_the_role_is_and_changes_nothing(
    module: Module, stack: Stack
) -> None:
    tags = {"Environment": "dev"}
    assert module("iam_role", name="owned", trust=trust(ROOT), tags=tags).changed
    looked = module("iam_role", name="owned", state="absent", check=True)
    assert looked["tags_before"] == tags
    assert stack.client("iam", ACCOUNT).get_role(RoleName="owned")
    nobodys = module("iam_role", name="nowhere", state="absent", check=True)
    assert nobodys["tags_before"] == {}
