#!/usr/bin/python
"""Ansible module: a set of security groups whose rules refer to one another."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    STATE,
    TAGS,
    Converge,
    Document,
    tag_list,
)

DOCUMENTATION = r"""
module: security_groups
short_description: Ensure a set of security groups whose rules refer to one another
description:
  - Ensures all groups of a VPC that belong together, in one call. Their rules name other groups of
    the set, so groups that refer to each other need no particular order, neither when they are
    made nor when they are removed.
  - Rules that are not listed are removed, AWS's default "allow all" egress included.
  - The group C(default) is AWS's own and is neither made nor tagged nor removed; listing it empties
    it.
  - Instead of M(amazon.aws.ec2_security_group). It is run for each group, and twice where groups
    refer to each other (made, then given rules; emptied, then removed), for nine runs in place of
    one; it sleeps three seconds for each group it makes; and it takes prefix lists by their ids,
    which no module of the AWS collections looks up.
options:
  vpc_id:
    description: The VPC of the groups.
    type: str
    required: true
  prefix:
    description: Put before each name, with a dash, to make the group's name in AWS.
    type: str
    required: true
  groups:
    description: The groups.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Short name, by which rules refer to the group.
        type: str
        required: true
      description:
        description: What the group is for. AWS does not allow to change it, and takes 1 to 255
          letters, digits, spaces and C(._-:/()#,@[]+=&;{}!$*), for one an apostrophe not.
        type: str
        required: true
      ingress:
        description: Inbound TCP rules.
        type: list
        elements: dict
        default: []
        suboptions: &rule
          group:
            description: Short name of the group at the other end.
            type: str
          prefix_list:
            description: Name of the AWS-managed prefix list at the other end.
            type: str
          port:
            description: TCP port.
            type: int
            required: true
      egress:
        description: Outbound TCP rules.
        type: list
        elements: dict
        default: []
        suboptions: *rule
  tags:
    description: Tags of the groups, beside their Name.
    type: dict
    default: {}
extends_documentation_fragment:
  - migrations.aws.converge
  - migrations.aws.converge.state
"""

EXAMPLES = r"""
- name: Let the application, and nothing else, reach the database
  migrations.aws.security_groups:
    vpc_id: vpc-0123456789abcdef0
    prefix: shop-dev
    groups:
      - name: database
        description: Aurora cluster
        ingress: [{ group: app, port: 5432 }]
      - name: app
        description: Application
        egress: [{ group: database, port: 5432 }]
"""

RETURN = r"""
groups:
  description: The groups' ids by their short names.
  returned: always; ids of groups that check mode would make are empty
  type: dict
  sample: {"database": "sg-0123456789abcdef0"}
"""

RULE = {
    "group": {"type": "str"},
    "prefix_list": {"type": "str"},
    "port": {"type": "int", "required": True},
}
RULES = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": RULE,
    "mutually_exclusive": [("group", "prefix_list")],
    "required_one_of": [("group", "prefix_list")],
}
SPEC = {
    "vpc_id": {"type": "str", "required": True},
    "prefix": {"type": "str", "required": True},
    "groups": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "description": {"type": "str", "required": True},
            "ingress": RULES,
            "egress": RULES,
        },
    },
    "tags": TAGS,
    "state": STATE,
}
# What EC2 takes as the name and the description of a group: its API reference, CreateSecurityGroup.
TEXT = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
# EC2 may answer so about a group that it made a moment ago, for some seconds.
NOT_YET = ("InvalidGroup.NotFound",)
ATTEMPTS = 7  # about half a minute
# protocol, first port, last port, the other end (group, prefix list or address range)
Rule = tuple[str, int, int, str]


class Groups:
    """The set of groups in one VPC."""

    def __init__(self, run: Converge) -> None:
        self.run = run
        self.ec2 = run.client("ec2")
        self.wanted: list[Document] = run.params["groups"]
        self.found = self._describe()
        self.ids = {
            g["name"]: self.found.get(self.aws_name(g), {}).get("GroupId", "") for g in self.wanted
        }

    def aws_name(self, group: Document) -> str:
        """Return the group's name in AWS."""
        return (
            "default"
            if group["name"] == "default"
            else f"{self.run.params['prefix']}-{group['name']}"
        )

    def _describe(self) -> dict[str, Document]:
        """Return the groups of the VPC that are in the set, by their names in AWS."""
        filters = [
            {"Name": "vpc-id", "Values": [self.run.params["vpc_id"]]},
            {"Name": "group-name", "Values": [self.aws_name(g) for g in self.wanted]},
        ]
        answer = self.run.read(self.ec2.describe_security_groups, Filters=filters)
        return {g["GroupName"]: g for g in (answer or {}).get("SecurityGroups", [])}

    def refuse(self) -> None:
        """End the module, before anything is made, if EC2 would refuse a group."""
        texts = [(g["name"], t) for g in self.wanted for t in (self.aws_name(g), g["description"])]
        if wrong := [f"'{text}' of {name}" for name, text in texts if not TEXT.fullmatch(text)]:
            self.run.module.fail_json(
                msg="EC2 would refuse as a name or description of a security group "
                f"{', '.join(wrong)}: it takes 1 to 255 of a-z, A-Z, 0-9, spaces and "
                "._-:/()#,@[]+=&;{}!$*"
            )

    def ensure(self) -> None:
        """Make what is missing, then bring every rule in line."""
        for group in self.wanted:
            if not self.ids[group["name"]]:
                self._create(group)
        for group in self.wanted:
            if group["name"] != "default":
                self._tag(group)
            for direction in ("ingress", "egress"):
                self._rules(group, direction, self._wanted_rules(group[direction]))

    def remove(self) -> None:
        """Empty all groups first, so that none is held by a rule of another; then delete them."""
        present = [g for g in self.wanted if self.ids[g["name"]]]
        for group in present:
            for direction in ("ingress", "egress"):
                self._rules(group, direction, set())
        for group in present:
            if group["name"] != "default":
                self.run.send(self.ec2.delete_security_group, GroupId=self.ids[group["name"]])
                self.run.before[group["name"]] = "present"

    def _create(self, group: Document) -> None:
        tags = tag_list({**self.run.params["tags"], "Name": self.aws_name(group)})
        answer = self.run.send(
            self.ec2.create_security_group,
            GroupName=self.aws_name(group),
            Description=group["description"],
            VpcId=self.run.params["vpc_id"],
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
        )
        self.ids[group["name"]] = answer.get("GroupId", "")
        # AWS gives a new group this rule.
        everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self.found[self.aws_name(group)] = {"IpPermissionsEgress": [everything], "Tags": tags}
        self.run.after[group["name"]] = "present"

    def _tag(self, group: Document) -> None:
        have = {t["Key"]: t["Value"] for t in self.found[self.aws_name(group)].get("Tags", [])}
        want = {**self.run.params["tags"], "Name": self.aws_name(group)}
        missing = {k: v for k, v in want.items() if have.get(k) != v}
        if missing:
            self._send(
                self.ec2.create_tags, Resources=[self.ids[group["name"]]], Tags=tag_list(missing)
            )

    def _wanted_rules(self, rules: list[Document]) -> set[Rule]:
        return {("tcp", r["port"], r["port"], self._other_end(r)) for r in rules}

    def _other_end(self, rule: Document) -> str:
        if rule["prefix_list"]:
            return self._prefix_list(rule["prefix_list"])
        if rule["group"] not in self.ids:
            self.run.module.fail_json(
                msg=f"A rule names the group '{rule['group']}', which is not listed: "
                f"{', '.join(self.ids)}"
            )
        return self.ids[rule["group"]] or f"sg-{rule['group']}"  # check mode has no id yet

    def _prefix_list(self, name: str) -> str:
        filters = [{"Name": "prefix-list-name", "Values": [name]}]
        lists = (self.run.read(self.ec2.describe_managed_prefix_lists, Filters=filters) or {}).get(
            "PrefixLists", []
        )
        if not lists:
            self.run.module.fail_json(msg=f"There is no prefix list '{name}' in this region")
        return str(lists[0]["PrefixListId"])

    def _rules(self, group: Document, direction: str, want: set[Rule]) -> None:
        key = "IpPermissions" if direction == "ingress" else "IpPermissionsEgress"
        have = flatten(self.found[self.aws_name(group)].get(key, []))
        label = f"{group['name']} {direction}"
        self.run.before[label], self.run.after[label] = (
            sorted(map(str, have)),
            sorted(map(str, want)),
        )
        for verb, rules in (("revoke", have - want), ("authorize", want - have)):
            if rules:
                call = getattr(self.ec2, f"{verb}_security_group_{direction}")
                self._send(call, GroupId=self.ids[group["name"]], IpPermissions=permissions(rules))

    def _send(self, call: Callable[..., Document], **request: Any) -> None:
        """Send a change of groups, as soon as EC2 knows all of them."""
        self.run.send_when_ready(call, NOT_YET, ("",), ATTEMPTS, **request)


def flatten(found: list[Document]) -> set[Rule]:
    """Return AWS's nested permissions as single rules."""
    rules: set[Rule] = set()
    for p in found:
        ends = [e["GroupId"] for e in p.get("UserIdGroupPairs", [])]
        ends += [e["PrefixListId"] for e in p.get("PrefixListIds", [])]
        ends += [e["CidrIp"] for e in p.get("IpRanges", [])]
        ends += [e["CidrIpv6"] for e in p.get("Ipv6Ranges", [])]
        rules |= {
            (p["IpProtocol"], p.get("FromPort", -1), p.get("ToPort", -1), end) for end in ends
        }
    return rules


def permissions(rules: set[Rule]) -> list[Document]:
    """Return single rules as AWS takes them."""
    result: list[Document] = []
    for protocol, first, last, end in sorted(rules):
        permission: dict[str, Any] = {"IpProtocol": protocol}
        if protocol != "-1":
            permission |= {"FromPort": first, "ToPort": last}
        if end.startswith("sg-"):
            permission["UserIdGroupPairs"] = [{"GroupId": end}]
        elif end.startswith("pl-"):
            permission["PrefixListIds"] = [{"PrefixListId": end}]
        elif ":" in end:
            permission["Ipv6Ranges"] = [{"CidrIpv6": end}]
        else:
            permission["IpRanges"] = [{"CidrIp": end}]
        result.append(permission)
    return result


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    groups = Groups(run)
    if run.params["state"] == "present":
        groups.refuse()
        groups.ensure()
    else:
        groups.remove()
    run.exit(groups=groups.ids)


if __name__ == "__main__":
    main()
