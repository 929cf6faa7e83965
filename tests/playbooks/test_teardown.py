"""What teardown.yml leaves of an account that is given up."""

import pytest

from local.stack import Stack
from tests.playbooks.leftovers import BASIS, basis
from tests.playbooks.model import problems
from tests.playbooks.plays import ACCOUNTS, ROOT, Play, Playbooks
from tests.playbooks.test_least_privilege import action
from tests.roles.readme import listed

KEY = "alias/schema-migrations-prod-database"


@pytest.mark.parametrize("env", ACCOUNTS)
@pytest.mark.parametrize("kind", [key for *_, key in BASIS])
def test_an_account_is_as_it_was_before_bootstrap(
    new: dict[str, dict[str, set[str]]],
    given_up: dict[str, Play],
    stack: Stack,
    env: str,
    kind: str,
) -> None:
    assert basis(stack, ACCOUNTS[env])[kind] == new[env][kind]


def test_a_bucket_that_holds_something_stays_with_its_key(given_up: dict[str, Play]) -> None:
    said = given_up["local"].message
    assert "schema-migrations-artifacts-000000000000-eu-central-1 stays with its key" in said
    assert "The same with -e buckets=delete empties it" in said
    assert given_up["local wholly"].count("changed") == 3


def test_a_key_that_opens_a_snapshot_stays_until_it_is_asked_for(
    given_up: dict[str, Play], stack: Stack
) -> None:
    said = given_up["prod"].message
    assert f"{KEY} stays: it opens schema-migrations-prod-final-" in said
    assert "-e key=delete: nothing opens them then." in said
    assert given_up["prod wholly"].count("changed") == 1


def test_what_was_called_is_listed_and_fits_awss_model(
    given_up: dict[str, Play], playbook: Playbooks
) -> None:
    """What an administrator is asked to have suffices for it."""
    made = [r for r in playbook.requests() if r.playbook == "teardown"]
    assert not [p for r in made for p in problems(r.service, r.operation, r.params)]
    for role in ("account", "pipeline_account"):
        called = {action(r) for r in made if r.role == role}
        assert called
        assert called - listed((ROOT / f"roles/{role}/README.md").read_text()) == set()


def test_bootstrap_takes_a_key_back_that_is_to_go(
    given_up: dict[str, Play], stack: Stack, playbook: Playbooks
) -> None:
    kms, key = stack.client("kms", ACCOUNTS["dev"]), KEY.replace("prod", "dev")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    play = playbook("playbooks/bootstrap.yml", "dev")
    assert play.status == 0, play.output
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
