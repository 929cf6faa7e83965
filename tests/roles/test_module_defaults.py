"""Every module that talks to AWS has the connection that the plays give it."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
COLLECTION = ROOT / "collections/ansible_collections/migrations/aws"
# A task's first key. A lookup has no module defaults: it is given its connection where it stands.
MODULE = re.compile(r"^\s+(?:- )?((?:amazon|community|migrations)\.aws\.\w+):", re.MULTILINE)
HERE = {"migrations.aws.lambda_zip"}  # makes a file, and asks nobody


def test_the_group_of_the_connection_has_the_modules_that_are_used_and_no_other() -> None:
    group = yaml.safe_load((COLLECTION / "meta/runtime.yml").read_text())["action_groups"]["all"]
    named = {name if "." in name else f"migrations.aws.{name}" for name in group}
    files = [*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")]
    used = {name for file in files for name in MODULE.findall(file.read_text())}
    assert named == used - HERE
