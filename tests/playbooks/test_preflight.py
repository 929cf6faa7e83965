"""How long a session of the role that acts is used."""

import json
from pathlib import Path

from local.stack import Stack
from tests.playbooks.plays import ACCOUNTS, Playbooks

PLAY = """
- hosts: aws
  gather_facts: false
  vars:
    preflight_environment: local
    preflight_account_id: "{account}"
    preflight_region: eu-central-1
    preflight_role: renewed
  tasks:
    - ansible.builtin.import_role: {{name: preflight}}
    - ansible.builtin.import_role: {{name: preflight}}
    - ansible.builtin.set_fact:
        preflight_since: "{{{{ preflight_since - {age} }}}}"
    - ansible.builtin.import_role: {{name: preflight}}
"""


def test_a_session_is_renewed_when_it_is_old(
    stack: Stack, playbook: Playbooks, tmp_path: Path
) -> None:
    account = ACCOUNTS["local"]
    principal = {"AWS": f"arn:aws:iam::{account}:root"}
    trust = [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    iam = stack.client("iam", account)
    iam.create_role(RoleName="renewed", AssumeRolePolicyDocument=document)
    taken = {}
    for minutes in (15, 25):
        path = tmp_path / f"after{minutes}.yml"
        path.write_text(PLAY.format(account=account, age=minutes * 60))
        play = playbook(str(path), "local", "-e", "ansible_connection=local")
        assert play.status == 0, play.output
        made = [r for r in playbook.requests() if r.playbook == path.stem]
        taken[minutes] = len([r for r in made if r.operation == "AssumeRole"])
    iam.delete_role(RoleName="renewed")
    assert taken == {15: 1, 25: 2}
