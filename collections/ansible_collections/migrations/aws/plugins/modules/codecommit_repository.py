#!/usr/bin/python
"""Ansible module: a CodeCommit repository."""

from __future__ import annotations

from ansible_collections.migrations.aws.plugins.module_utils.converge import STATE, TAGS, Converge

DOCUMENTATION = r"""
module: codecommit_repository
short_description: Ensure a CodeCommit repository
description:
  - Creates or deletes a repository. An existing one is left as it is, its tags and description too,
    for it may be shared with others.
  - Instead of M(community.aws.codecommit_repository), which knows no tags, writes its description
    over that of a repository which others made, and deletes any repository of that name with all
    its history; there is no module to ask first whose it is. It must also be allowed to list all
    repositories of the account.
options:
  name:
    description: Name of the repository.
    type: str
    required: true
  description:
    description:
      - What a new repository is for.
      - With O(state=absent) only a repository with this description is deleted; another one
        was not made by this module.
    type: str
    default: ""
  tags:
    description: Tags of a new repository.
    type: dict
    default: {}
  state:
    description: Whether the repository is to exist. With C(absent) all its history is lost.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - migrations.aws.converge
"""

EXAMPLES = r"""
- name: Ensure the repository that the pipeline watches
  migrations.aws.codecommit_repository:
    name: shop-migrations
"""

RETURN = r"""
arn:
  description: ARN of the repository.
  returned: when it exists
  type: str
clone_url:
  description: Where to push to.
  returned: when it exists
  type: str
"""

SPEC = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str", "default": ""},
    "tags": TAGS,
    "state": STATE,
}


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    p, api = run.params, run.client("codecommit")
    name = {"repositoryName": p["name"]}
    answer = run.read(api.get_repository, ("RepositoryDoesNotExistException",), **name) or {}
    found = answer.get("repositoryMetadata", {})
    if p["state"] == "present" and not found:
        run.after = {"name": p["name"]}
        answer = run.send(
            api.create_repository, repositoryDescription=p["description"], tags=p["tags"], **name
        )
        found = answer.get("repositoryMetadata", {})
    elif (
        p["state"] == "absent"
        and found.get("repositoryDescription", "") == p["description"]
        and found
    ):
        run.before = {"name": p["name"]}
        run.send(api.delete_repository, **name)
    run.exit(arn=found.get("Arn", ""), clone_url=found.get("cloneUrlHttp", ""))


if __name__ == "__main__":
    main()
