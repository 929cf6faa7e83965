"""What only looks is taken from policies that change things, and a task that changes is named."""

import importlib
from typing import Any

import pytest

HERE = {"Effect": "Allow", "Resource": "here", "Condition": {"StringEquals": {"a": "b"}}}


def ours(name: str) -> Any:
    """Import a file of the collection, which Ansible's own loader does where there is one."""
    return importlib.import_module(f"ansible_collections.migrations.aws.plugins.{name}")


def test_what_describes_gets_or_lists_is_kept_where_it_is_allowed() -> None:
    changing = [
        {"Statement": [{**HERE, "Action": ["s3:PutObject", "s3:GetObject", "s3:ListBucket"]}]},
        {"Statement": [{**HERE, "Action": "ec2:DescribeVpcs"}, {**HERE, "Action": "ec2:RunX"}]},
    ]
    assert ours("filter.looking").looking(changing)["Statement"] == [
        {**HERE, "Action": ["s3:GetObject", "s3:ListBucket"]},
        {**HERE, "Action": ["ec2:DescribeVpcs"]},
    ]


@pytest.mark.parametrize("name", ["secretsmanager:GetSecretValue", "kms:Decrypt", "iam:PassRole"])
def test_what_opens_a_secret_or_gives_a_role_away_is_not(name: str) -> None:
    policy = {"Statement": [{**HERE, "Action": name}]}
    assert ours("filter.looking").looking([policy])["Statement"] == []


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "nothing would change"),
        (["role : Ensure it"], "1 task would change something: role : Ensure it"),
        (["a", 'b\'; "curl" #{x}\x1b[2J'], "2 tasks would change something: a, b curl x 2J"),
    ],
    ids=["none", "one", "one that deceives"],
)
def test_the_changed_tasks_are_counted_and_named(names: list[str], text: str) -> None:
    lines = [f"export CHANGED='{len(names)}'", f"export CHANGES='{text}'"]
    assert ours("module_utils.changes").told(names).splitlines() == lines


def test_many_names_are_cut() -> None:
    changes = ours("module_utils.changes")
    (_, text) = changes.told(["a task with a long name"] * 100).splitlines()
    assert text.endswith(" ...'")
    assert len(text) <= len("export CHANGES=''") + changes.MOST
