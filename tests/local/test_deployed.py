"""`make local` runs of the playbooks what has changed, and all of them where nobody can tell."""

import contextlib
import dataclasses
import time

import pytest

from local import up
from local.deployed import Deployed, forget
from local.errors import LocalError

INVENTORY = "inventories/local"
BEFORE = Deployed(bootstrap="b", site="s", migrations="m", aws="a")
ALL = [("playbooks/bootstrap.yml",), ("site.yml",)]


@pytest.mark.parametrize(
    ("changed", "plays"),
    [
        ({}, []),
        ({"migrations": "new"}, [("playbooks/sign.yml", "playbooks/runner.yml")]),
        ({"site": "new"}, [("site.yml",)]),
        ({"site": "new", "migrations": "new"}, [("site.yml",)]),
        ({"site": "new", "bootstrap": "new"}, ALL),
        ({"aws": "changed by somebody"}, ALL),
    ],
)
def test_what_has_changed_says_which_playbooks_run(changed, plays):
    assert dataclasses.replace(BEFORE, **changed).plays(BEFORE) == plays


def test_where_nothing_is_remembered_all_of_them_run(stack):
    forget(stack)
    assert Deployed.remembered(stack) is None
    assert BEFORE.plays(None) == ALL


def test_what_is_not_what_was_written_is_nothing(stack):
    stack.state.folder.joinpath("deployed").write_text('{"site": ')
    assert Deployed.remembered(stack) is None


CHANGES = {
    "kms": lambda client: client.create_key(),
    "codecommit": lambda client: client.create_repository(repositoryName=f"r{time.time_ns()}"),
}


@pytest.mark.parametrize("service", CHANGES)
def test_a_look_at_aws_leaves_it_as_it_was_and_a_change_does_not(stack, tmp_path, service):
    def plays():
        return Deployed.wanted(stack, tmp_path, INVENTORY).plays(Deployed.remembered(stack))

    CHANGES[service](stack.client(service))
    Deployed.wanted(stack, tmp_path, INVENTORY).remember(stack)
    stack.client("codepipeline").list_pipelines()
    stack.client("ec2").describe_vpcs()
    stack.client("iam").list_roles()
    stack.client("sts").get_caller_identity()
    assert plays() == []
    CHANGES[service](stack.client(service))
    assert plays() == ALL


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        ("sql/V999__of_a_test.sql", {"migrations"}),
        ("runner/of_a_test.sql", {"site"}),
        ("roles/runner/files/of_a_test.sql", {"site", "bootstrap"}),
        ("inventories/local/of_a_test.sql", {"site", "bootstrap"}),
        ("inventories/dev/of_a_test.sql", {"site"}),
        ("runner/build/of_a_test.sql", {"site"}),
        ("build/of_a_test.sql", set()),
        (".cache/of_a_test.sql", set()),
        ("runner/__pycache__/of_a_test.sql", set()),
    ],
)
def test_a_file_counts_where_it_is_used(stack, tmp_path, name, differs):
    before = Deployed.wanted(stack, tmp_path, INVENTORY)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("select 1;\n")
    after = Deployed.wanted(stack, tmp_path, INVENTORY)
    fields = [field.name for field in dataclasses.fields(Deployed)]
    assert {name for name in fields if getattr(before, name) != getattr(after, name)} == differs


@pytest.fixture
def made(stack, monkeypatch):
    """Make `make local`'s calls, in which playbooks and pipeline are a record of what was asked."""
    monkeypatch.setattr(up, "warm", lambda _: contextlib.nullcontext("python"))
    monkeypatch.setattr(up, "_what_next", lambda _: "")
    forget(stack)

    def make(*, green=True, meanwhile=lambda: None):
        played = []

        def pipeline(*_, approve, **__):
            monkeypatch.setattr(up, "ask", lambda _: bool(meanwhile()))
            approve("?")
            return green

        monkeypatch.setattr(up, "play", lambda _, playbooks, __: played.append(playbooks))
        monkeypatch.setattr(up, "run_pipeline", pipeline)
        assert up.up(stack) == green
        return played

    return make


def test_a_red_run_has_played_what_it_has_played(made):
    assert made(green=False) == ALL
    assert made() == []


def test_a_red_run_that_played_nothing_is_followed_by_one_that_plays_all(made):
    assert [made(), made(green=False), made()] == [ALL, [], ALL]


def test_what_somebody_changes_while_an_approval_waits_is_seen(made, stack):
    assert made(meanwhile=stack.client("kms").create_key) == ALL
    assert made() == ALL


def test_what_fails_in_a_playbook_is_begun_anew(made, stack, monkeypatch):
    def fail(*_):
        raise LocalError("failed")

    assert made() == ALL
    stack.client("kms").create_key()
    with monkeypatch.context() as broken:
        broken.setattr(up, "play", fail)
        with pytest.raises(LocalError):
            up.up(stack)
    assert made() == ALL
