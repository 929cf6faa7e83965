"""Make ministack ask for EC2's permissions as AWS does: for each resource, with its tags.

It evaluates every EC2 request against "*" and without tags. AWS asks once for each resource that a
request makes or names, and again for ec2:CreateTags where what is made gets tags.
"""
# ruff: noqa: SLF001 (patching private names is this module's purpose)

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from local.emulator.patches import module, wrap
from local.emulator.questions import Ask, Question, asking, telling

actions = module("ministack.core.iam_actions")
ec2 = module("ministack.services.ec2")
evaluator = module("ministack.core.iam_evaluator")
responses = module("ministack.core.responses")

_MADE = {
    "CreateRouteTable": ["route-table"],
    "CreateSecurityGroup": ["security-group"],
    "CreateSubnet": ["subnet"],
    "CreateVpc": ["vpc"],
    "CreateVpcEndpoint": ["vpc-endpoint"],
    "AuthorizeSecurityGroupEgress": ["security-group-rule"],
    "AuthorizeSecurityGroupIngress": ["security-group-rule"],
    "RunInstances": ["instance", "network-interface", "volume"],
}
_KINDS = {
    "ami": "image",
    "i": "instance",
    "rtb": "route-table",
    "sg": "security-group",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
_IDENTIFIER = re.compile(rf"({'|'.join(_KINDS)})-[0-9a-f]+")
# Parameters whose identifiers AWS does not ask about: what is searched for, and the ends of rules.
_ASIDE = ("Filter.", "IpPermissions.", "TagSpecification.", "Tag.")
_CHECKS = "checks"


class Check(NamedTuple):
    """One question to IAM."""

    action: str
    arn: str
    context: dict[str, Any]


def patch() -> None:
    """Replace what reads a request's tags, and what asks IAM."""
    wrap(actions, "request_tag_context", telling(_CHECKS, _told))
    wrap(evaluator, "enforce", asking(_CHECKS, _each))


def _told(service: str, action: str, _body: Any, parameters: Any) -> list[Check]:
    if service != "ec2" or ":Describe" in action:
        return []
    flat = {name: actions._query_param(parameters, name) for name in parameters}
    return list(_checks(action.partition(":")[2], flat))


def _each(ask: Ask, question: Question, checks: list[Check] | None) -> Any:
    for check in checks or [Check(question.action, question.arn, question.context)]:
        if denied := ask(question._replace(**check._asdict())):
            return denied
    return None


def _checks(verb: str, parameters: dict[str, str]) -> Iterator[Check]:
    """Yield what AWS asks IAM about a request."""
    tags = _given_tags(parameters)
    for kind in _MADE.get(verb, []):
        arn, given = _arn(kind, "*"), _keys("RequestTag", tags.get(kind, {}))
        yield Check(f"ec2:{verb}", arn, given)
        if given:
            yield Check("ec2:CreateTags", arn, {**given, "ec2:CreateAction": verb})
    direct = _keys("RequestTag", _numbered(parameters, "Tag")) if verb == "CreateTags" else {}
    for identifier in sorted(_named(parameters)):
        yield Check(f"ec2:{verb}", _existing(identifier), {**direct, **_facts(identifier)})


def _named(parameters: dict[str, str]) -> set[str]:
    """Return the identifiers of existing resources that a request is about."""
    found = {
        value
        for name, value in parameters.items()
        if not name.startswith(_ASIDE) and _IDENTIFIER.fullmatch(value)
    }
    association = parameters.get("AssociationId")
    for table in ec2._route_tables.values():
        for entry in table.get("Associations", []):
            if association and entry.get("RouteTableAssociationId") == association:
                found |= {table["RouteTableId"], entry["SubnetId"]}
    return found


def _existing(identifier: str) -> str:
    kind = _KINDS[identifier.partition("-")[0]]
    return _arn(kind, identifier)


def _arn(kind: str, identifier: str) -> str:
    account = "" if kind == "image" else responses.get_account_id()
    return f"arn:aws:ec2:{responses.get_region()}:{account}:{kind}/{identifier}"


def _facts(identifier: str) -> dict[str, Any]:
    """Return the condition keys of a resource: its tags, and whose an image is."""
    tags = {tag["Key"]: tag["Value"] for tag in ec2._tags.get(identifier, [])}
    owner = {"ec2:Owner": "amazon"} if identifier.startswith("ami-") else {}
    return {**_keys("ResourceTag", tags), **owner}


def _keys(kind: str, tags: dict[str, str]) -> dict[str, str]:
    return {f"aws:{kind}/{name}": value for name, value in tags.items()}


def _given_tags(parameters: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the tags that a request gives to what it makes, by the kind of resource."""
    prefixes = {m[1] for name in parameters if (m := re.match(r"(TagSpecification\.\d+)\.", name))}
    return {
        parameters[f"{prefix}.ResourceType"]: _numbered(parameters, f"{prefix}.Tag")
        for prefix in prefixes
    }


def _numbered(parameters: dict[str, str], prefix: str) -> dict[str, str]:
    """Return a numbered list of keys and values as a dictionary."""
    pattern = re.compile(rf"({re.escape(prefix)}\.\d+)\.Key")
    found = {name: match[1] for name in parameters if (match := pattern.fullmatch(name))}
    return {parameters[name]: parameters.get(f"{one}.Value", "") for name, one in found.items()}
