#!/usr/bin/python
"""Ansible module: the endpoints of AWS's services in a VPC."""

from __future__ import annotations

import json
import time

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    TAGS,
    Converge,
    Document,
    tag_dict,
    tag_list,
)

DOCUMENTATION = r"""
module: vpc_endpoints
short_description: Ensure the endpoints of AWS's services in a VPC, and no others
description:
  - Ensures one endpoint for each service, in one call. Endpoints of services that are no longer
    listed are removed, for each interface endpoint costs money every hour.
  - Instead of M(amazon.aws.ec2_vpc_endpoint). Of an endpoint that exists it corrects the tags
    only, never its subnets and security groups; endpoints that are no longer listed stay.
options:
  vpc_id:
    description: The VPC.
    type: str
    required: true
  name:
    description: Put before each service, with a dash, to make the endpoint's Name tag.
    type: str
    required: true
  interface:
    description: Services to reach by an interface endpoint, as C(secretsmanager).
    type: list
    elements: str
    default: []
  gateway:
    description: Services to reach by a gateway endpoint, as C(s3).
    type: list
    elements: str
    default: []
  subnets:
    description: Subnets of the interface endpoints.
    type: list
    elements: str
    default: []
  security_groups:
    description: Security groups of the interface endpoints.
    type: list
    elements: str
    default: []
  route_tables:
    description: Route tables that lead to the gateway endpoints.
    type: list
    elements: str
    default: []
  policies:
    description:
      - What may pass each endpoint, by the service that it leads to.
      - An endpoint of a service without a policy here lets everything pass, as AWS's own default.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait until endpoints are available, or gone.
    type: int
    default: 600
  tags:
    description: Tags of the endpoints, beside their Name.
    type: dict
    default: {}
extends_documentation_fragment:
  - migrations.aws.converge
"""

EXAMPLES = r"""
- name: Reach Secrets Manager without a NAT gateway
  migrations.aws.vpc_endpoints:
    vpc_id: vpc-0123456789abcdef0
    name: shop-dev
    interface: [secretsmanager]
    subnets: [subnet-0123456789abcdef0]
    security_groups: [sg-0123456789abcdef0]
    policies:
      secretsmanager:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: "*"
            Action: secretsmanager:GetSecretValue
            Resource: "*"
            Condition:
              StringEquals: { aws:PrincipalAccount: "111122223333" }

- name: Remove all endpoints
  migrations.aws.vpc_endpoints:
    vpc_id: vpc-0123456789abcdef0
    name: shop-dev
"""

RETURN = r"""
endpoints:
  description: The endpoints' ids by their services; empty ids of those that check mode would make.
  returned: always
  type: dict
"""

STRINGS = {"type": "list", "elements": "str", "default": []}
SPEC = {
    "vpc_id": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "interface": STRINGS,
    "gateway": STRINGS,
    "subnets": STRINGS,
    "security_groups": STRINGS,
    "route_tables": STRINGS,
    "policies": {"type": "dict", "default": {}},
    "timeout": {"type": "int", "default": 600},
    "tags": TAGS,
}
# What AWS writes where no policy was given.
OPEN = {
    "Version": "2008-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}
GONE = ("deleting", "deleted", "rejected", "failed", "expired")
POLL = 5


class Endpoints:
    """All endpoints of one VPC."""

    def __init__(self, run: Converge) -> None:
        self.run, self.p = run, run.params
        self.ec2 = run.client("ec2")
        self.prefix = f"com.amazonaws.{run.module.region}."
        self.found = {
            e["ServiceName"].removeprefix(self.prefix): e
            for e in self._describe()
            if e["State"].lower() not in GONE
        }
        self.ids = {service: e["VpcEndpointId"] for service, e in self.found.items()}

    def _describe(self) -> list[Document]:
        filters = [{"Name": "vpc-id", "Values": [self.p["vpc_id"]]}]
        return list(
            (self.run.read(self.ec2.describe_vpc_endpoints, Filters=filters) or {})["VpcEndpoints"]
        )

    def ensure(self) -> None:
        """Make, correct and remove endpoints, then wait until that is done."""
        wanted = {
            **dict.fromkeys(self.p["interface"], "Interface"),
            **dict.fromkeys(self.p["gateway"], "Gateway"),
        }
        self.run.before = {"services": sorted(self.found)}
        self.run.after = {"services": sorted(wanted)}
        for service, kind in wanted.items():
            lists = self._lists(kind)
            if service not in self.found:
                self._create(service, kind, lists)
            else:
                self._correct(service, lists)
        if unwanted := sorted(self.found.keys() - wanted.keys()):
            ids = [self.ids.pop(service) for service in unwanted]
            self.run.send(self.ec2.delete_vpc_endpoints, VpcEndpointIds=ids)
        if self.run.changed and not self.run.module.check_mode:
            self._wait()

    def _lists(self, kind: str) -> Document:
        if kind == "Gateway":
            return {"RouteTableIds": self.p["route_tables"]}
        return {"SubnetIds": self.p["subnets"], "SecurityGroupIds": self.p["security_groups"]}

    def _tags(self, service: str) -> dict[str, str]:
        return {**self.p["tags"], "Name": f"{self.p['name']}-{service}"}

    def _create(self, service: str, kind: str, lists: Document) -> None:
        tags = {"ResourceType": "vpc-endpoint", "Tags": tag_list(self._tags(service))}
        private = {"PrivateDnsEnabled": True} if kind == "Interface" else {}
        policy = self.p["policies"].get(service)
        guarded = {"PolicyDocument": json.dumps(policy)} if policy else {}
        answer = self.run.send(
            self.ec2.create_vpc_endpoint,
            VpcId=self.p["vpc_id"],
            ServiceName=f"{self.prefix}{service}",
            VpcEndpointType=kind,
            TagSpecifications=[tags],
            **lists,
            **private,
            **guarded,
        )
        self.ids[service] = answer.get("VpcEndpoint", {}).get("VpcEndpointId", "")

    def _correct(self, service: str, lists: Document) -> None:
        endpoint, changes = self.found[service], self._policy_change(service)
        for name, want in lists.items():
            have = endpoint.get("Groups" if name == "SecurityGroupIds" else name, [])
            ids = {g["GroupId"] for g in have} if name == "SecurityGroupIds" else set(have)
            if added := sorted(set(want) - ids):
                changes[f"Add{name}"] = added
            if removed := sorted(ids - set(want)):
                changes[f"Remove{name}"] = removed
        if changes:
            self.run.after[service] = changes
            self.run.send(self.ec2.modify_vpc_endpoint, VpcEndpointId=self.ids[service], **changes)
        have = tag_dict(endpoint.get("Tags", []))
        missing = {k: v for k, v in self._tags(service).items() if have.get(k) != v}
        if missing:
            self.run.send(
                self.ec2.create_tags, Resources=[self.ids[service]], Tags=tag_list(missing)
            )

    def _policy_change(self, service: str) -> Document:
        """Return what gives an endpoint its policy, or AWS's default back; empty if it has it."""
        have = json.loads(self.found[service].get("PolicyDocument") or "{}")
        want = self.p["policies"].get(service)
        if want and statements(have) != statements(want):
            return {"PolicyDocument": json.dumps(want)}
        opened = all(s in statements(OPEN) for s in statements(have))
        return {} if want or opened else {"ResetPolicy": True}

    def _wait(self) -> None:
        """Poll until all endpoints that are wanted are available, and all others gone."""
        deadline = time.monotonic() + self.p["timeout"]
        while any(not self._settled(e) for e in self._describe()):
            if time.monotonic() > deadline:
                self.run.module.fail_json(
                    msg=f"The endpoints of {self.p['vpc_id']} are still changing after "
                    f"{self.p['timeout']} s. Run this again to go on waiting."
                )
            time.sleep(POLL)

    def _settled(self, endpoint: Document) -> bool:
        stays = endpoint["VpcEndpointId"] in self.ids.values()
        return str(endpoint["State"]).lower() == ("available" if stays else "deleted")


def statements(policy: Document) -> list[Document]:
    """Return a policy's statements without what AWS may write in another way: their version."""
    return list(policy.get("Statement", []))


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    endpoints = Endpoints(run)
    endpoints.ensure()
    run.exit(endpoints=endpoints.ids)


if __name__ == "__main__":
    main()
