"""An account whose quotas do not suffice is refused before anything is made."""

from typing import Any

from tests.modules.harness import Module

ARM = {
    "service": "codebuild",
    "name": "Concurrently running builds for ARM/Small environment",
    "key": "pipeline_container",
    "refused": "Cannot have more than 1 builds in queue for the account",
    "fix": "set pipeline_container to LINUX_CONTAINER",
}
VPCS: dict[str, Any] = {**ARM, "service": "vpc", "name": "VPCs per Region", "key": "network_cidr"}


def test_what_suffices_goes_on_silently(module: Module) -> None:
    outcome = module("quotas", quotas=[{**ARM, "at_least": 1}, {**VPCS, "at_least": 5}])
    assert outcome["values"] == {ARM["name"]: 1.0, VPCS["name"]: 5.0}
    assert outcome["changed"] is False
    assert not outcome.warnings


def test_each_that_is_too_low_names_the_key_what_aws_would_say_and_the_fix(module: Module) -> None:
    outcome = module("quotas", quotas=[{**ARM, "at_least": 2}, {**VPCS, "at_least": 6}])
    assert "pipeline_container: this account's quota" in outcome.message
    assert "is 1, and 2 is needed" in outcome.message
    assert f"AWS would say later: {ARM['refused']}" in outcome.message
    assert f"To mend it: {ARM['fix']}" in outcome.message
    assert "network_cidr: this account's quota" in outcome.message
    assert "is 5, and 6 is needed" in outcome.message


def test_a_quota_that_is_not_listed_is_noted(module: Module) -> None:
    unknown = {**ARM, "name": "Unheard of", "at_least": 1}
    outcome = module("quotas", quotas=[unknown, {**ARM, "service": "nothing", "at_least": 1}])
    assert len(outcome.warnings) == 2
    assert "'Unheard of' is. Going on." in outcome.warnings[0]
