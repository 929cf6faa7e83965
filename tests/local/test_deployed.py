"""`make local` runs of the playbooks what has changed, and all of them where nobody can tell."""

import dataclasses

import pytest

from local.deployed import Deployed, forget

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


def test_a_look_at_aws_leaves_it_as_it_was_and_a_change_does_not(stack, tmp_path):
    def plays():
        return Deployed.wanted(stack, tmp_path, INVENTORY).plays(Deployed.remembered(stack))

    stack.client("kms").create_key()
    Deployed.wanted(stack, tmp_path, INVENTORY).remember(stack)
    stack.client("ec2").describe_vpcs()
    stack.client("iam").list_roles()
    stack.client("sts").get_caller_identity()
    assert plays() == []
    stack.client("kms").create_key()
    assert plays() == ALL


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        ("sql/V999__of_a_test.sql", {"migrations"}),
        ("runner/of_a_test.sql", {"site"}),
        ("roles/runner/files/of_a_test.sql", {"site", "bootstrap"}),
        ("inventories/local/of_a_test.sql", {"site", "bootstrap"}),
        ("inventories/dev/of_a_test.sql", {"site"}),
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
