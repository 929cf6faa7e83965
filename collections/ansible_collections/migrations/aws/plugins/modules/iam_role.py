#!/usr/bin/python
"""Ansible module: an IAM role with all its policies, as one thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import unquote

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    STATE,
    TAGS,
    Converge,
    Document,
    tag_dict,
    tag_list,
    without_empty,
)

DOCUMENTATION = r"""
module: iam_role
short_description: Ensure an IAM role with its trust, boundary, policies and instance profile
description:
  - A role and everything that gives it meaning, in one call. Inline and managed policies that are
    not listed are removed, so that the role may do what the play says and nothing else.
  - Instead of M(amazon.aws.iam_role), M(amazon.aws.iam_policy) and
    M(amazon.aws.iam_instance_profile). There an inline policy that is no longer listed stays, and
    with it what it allows.
options:
  name:
    description: Name of the role.
    type: str
    required: true
  description:
    description: What the role is for.
    type: str
  trust:
    description: The trust policy; required when the role is to exist.
    type: dict
  boundary:
    description: ARN of the permissions boundary.
    type: str
  policies:
    description: Inline policy documents by their names.
    type: dict
    default: {}
  managed_policies:
    description: ARNs of managed policies.
    type: list
    elements: str
    default: []
  instance_profile:
    description: Whether an instance profile of the same name goes with the role.
    type: bool
    default: false
  max_session:
    description: Longest session, in seconds.
    type: int
    default: 3600
extends_documentation_fragment:
  - migrations.aws.converge
  - migrations.aws.converge.state
  - migrations.aws.converge.tags
"""

EXAMPLES = r"""
- name: Let a function write its log
  migrations.aws.iam_role:
    name: shop-dev-runner
    trust:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Principal: { Service: lambda.amazonaws.com }
          Action: sts:AssumeRole
          Condition: { StringEquals: { aws:SourceAccount: "111122223333" } }
    policies:
      log:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: [logs:CreateLogStream, logs:PutLogEvents]
            Resource: arn:aws:logs:eu-central-1:111122223333:log-group:/aws/lambda/shop:*
"""

RETURN = r"""
arn:
  description: The role's ARN.
  returned: when the role exists; empty where check mode would make it
  type: str
tags_before:
  description: The tags that the role had, none where there was no role.
  returned: always
  type: dict
"""

SPEC = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str"},
    "trust": {"type": "dict"},
    "boundary": {"type": "str"},
    "policies": {"type": "dict", "default": {}},
    "managed_policies": {"type": "list", "elements": "str", "default": []},
    "instance_profile": {"type": "bool", "default": False},
    "max_session": {"type": "int", "default": 3600},
    "tags": TAGS,
    "state": STATE,
}
MISSING = ("NoSuchEntity",)
# IAM may answer so about a trusted role that was made a moment ago, for some seconds.
NOT_YET = ("MalformedPolicyDocument",), ("Invalid principal",)
ATTEMPTS = 7  # about half a minute


class Role:
    """One role and what hangs on it."""

    def __init__(self, run: Converge) -> None:
        self.run = run
        self.iam = run.client("iam")
        self.name: str = run.params["name"]
        self.role: Document = (self._read(self.iam.get_role) or {}).get("Role", {})
        self.before = self._describe() if self.role else {}
        run.before = self.before

    def _read(self, call: Callable[..., Document], **request: str) -> Document | None:
        return self.run.read(call, MISSING, RoleName=self.name, **request)

    def _describe(self) -> Document:
        """Return the role in the terms of the module's options."""
        names = (self._read(self.iam.list_role_policies) or {}).get("PolicyNames", [])
        attached = (self._read(self.iam.list_attached_role_policies) or {}).get(
            "AttachedPolicies", []
        )
        profiles = (self._read(self.iam.list_instance_profiles_for_role) or {}).get(
            "InstanceProfiles", []
        )
        return {
            "description": self.role.get("Description") or None,
            "trust": document(self.role["AssumeRolePolicyDocument"]),
            "boundary": self.role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
            "policies": {
                n: document(
                    (self._read(self.iam.get_role_policy, PolicyName=n) or {})["PolicyDocument"]
                )
                for n in names
            },
            "managed_policies": sorted(p["PolicyArn"] for p in attached),
            "instance_profile": any(p["InstanceProfileName"] == self.name for p in profiles),
            "max_session": self.role.get("MaxSessionDuration", 3600),
            "tags": tag_dict(self.role.get("Tags", [])),
        }

    def ensure(self) -> None:
        """Bring the role and its policies in line."""
        want = {key: self.run.params[key] for key in SPEC if key not in ("name", "state")}
        want["managed_policies"] = sorted(want["managed_policies"])
        self.run.after = want
        if not self.role:
            self._create(want)
        self._settings(want)
        self._policies(want)
        if want["instance_profile"] and not self.before["instance_profile"]:
            self._make_profile()

    def _create(self, want: Document) -> None:
        request = without_empty(
            {
                "Description": want["description"],
                "PermissionsBoundary": want["boundary"],
                "MaxSessionDuration": want["max_session"],
            }
        )
        answer = self.run.send_when_ready(
            self.iam.create_role,
            *NOT_YET,
            ATTEMPTS,
            RoleName=self.name,
            AssumeRolePolicyDocument=json.dumps(want["trust"]),
            Tags=tag_list(want["tags"]),
            **request,
        )
        self.role = answer.get("Role", {})
        self.run.wait(self.iam, "role_exists", RoleName=self.name)
        self.before = {**want, "policies": {}, "managed_policies": [], "instance_profile": False}

    def _settings(self, want: Document) -> None:
        have, send, role = self.before, self.run.send, {"RoleName": self.name}
        if compare_policies(have["trust"], want["trust"]):
            self.run.send_when_ready(
                self.iam.update_assume_role_policy,
                *NOT_YET,
                ATTEMPTS,
                PolicyDocument=json.dumps(want["trust"]),
                **role,
            )
        if (have["description"], have["max_session"]) != (want["description"], want["max_session"]):
            send(
                self.iam.update_role,
                Description=want["description"] or "",
                MaxSessionDuration=want["max_session"],
                **role,
            )
        if want["boundary"] and have["boundary"] != want["boundary"]:
            send(
                self.iam.put_role_permissions_boundary, PermissionsBoundary=want["boundary"], **role
            )
        tags = {k: v for k, v in want["tags"].items() if have["tags"].get(k) != v}
        if tags:
            send(self.iam.tag_role, Tags=tag_list(tags), **role)

    def _policies(self, want: Document) -> None:
        have, send, role = self.before, self.run.send, {"RoleName": self.name}
        for name in sorted(have["policies"].keys() - want["policies"].keys()):
            send(self.iam.delete_role_policy, PolicyName=name, **role)
        for name, text in sorted(want["policies"].items()):
            if name not in have["policies"] or compare_policies(have["policies"][name], text):
                send(
                    self.iam.put_role_policy,
                    PolicyName=name,
                    PolicyDocument=json.dumps(text),
                    **role,
                )
        for arn in sorted(set(have["managed_policies"]) - set(want["managed_policies"])):
            send(self.iam.detach_role_policy, PolicyArn=arn, **role)
        for arn in sorted(set(want["managed_policies"]) - set(have["managed_policies"])):
            send(self.iam.attach_role_policy, PolicyArn=arn, **role)

    def _make_profile(self) -> None:
        profile: Document = {"InstanceProfileName": self.name}
        if not self.run.read(self.iam.get_instance_profile, MISSING, **profile):
            self.run.send(
                self.iam.create_instance_profile, Tags=tag_list(self.run.params["tags"]), **profile
            )
            self.run.wait(self.iam, "instance_profile_exists", **profile)
        self.run.send(self.iam.add_role_to_instance_profile, RoleName=self.name, **profile)

    def remove(self) -> None:
        """Take everything off the role, then delete it."""
        if not self.role:
            return
        self._policies({"policies": {}, "managed_policies": []})
        if self.before["instance_profile"]:
            profile = {"InstanceProfileName": self.name}
            self.run.send(self.iam.remove_role_from_instance_profile, RoleName=self.name, **profile)
            self.run.send(self.iam.delete_instance_profile, **profile)
        self.run.send(self.iam.delete_role, RoleName=self.name)


def document(policy: Document | str) -> Document:
    """Return a policy that botocore may have decoded already."""
    return dict(json.loads(unquote(policy))) if isinstance(policy, str) else policy


def main() -> None:
    """Run the module."""
    run = Converge(SPEC, required_if=[("state", "present", ["trust"])])
    role = Role(run)
    found = role.before.get("tags", {})
    if run.params["state"] == "present":
        role.ensure()
    else:
        role.remove()
    run.exit(arn=role.role.get("Arn", ""), tags_before=found)


if __name__ == "__main__":
    main()
