"""What was made a moment ago, AWS does not know everywhere yet: the first call about it fails.

Nothing here waits or is left to chance: of each new group and role the first call that names it is
refused, and the second one is not. What AWS answers, and where it says so:

- a security group: InvalidGroup.NotFound. EC2 API Reference, Eventual consistency.
- a role as somebody whom another role trusts: MalformedPolicyDocument, Invalid principal. IAM User
  Guide, Troubleshoot IAM, "Changes that I make are not always immediately visible"; a role or user
  that does not exist is refused so for ever.
- a role for a function: InvalidParameterValueException. Lambda API Reference, CreateFunction, and
  Lambda Developer Guide, Troubleshoot deployment, "cannot be assumed by Lambda".
"""
# ruff: noqa: SLF001 (patching private names is this module's purpose)

import json
import re
from collections.abc import Iterator
from typing import Any

from local.emulator.patches import module, wrap

ec2 = module("ministack.services.ec2")
functions = module("ministack.services.lambda_svc")
iam = module("ministack.services.iam")
responses = module("ministack.core.responses")

_GROUP = re.compile(r"sg-[0-9a-f]+")
_IDENTITY = re.compile(r"arn:aws:iam::(\d{12}):(role|user)/(?:.*/)?([^/]+)")
_RULES = [f"{v}SecurityGroup{d}" for v in ("Authorize", "Revoke") for d in ("Ingress", "Egress")]
_unknown: set[str] = set()  # groups by their ids, roles by their ARNs


def patch() -> None:
    """Replace what makes groups and roles, and the first things that are done with them."""
    wrap(ec2, "_ACTION_MAP", _making_group, entry="CreateSecurityGroup")
    for action in (*_RULES, "CreateTags", "DescribeSecurityGroups"):
        wrap(ec2, "_ACTION_MAP", _naming_groups, entry=action)
    for action, field in (
        ("CreateRole", "AssumeRolePolicyDocument"),
        ("UpdateAssumeRolePolicy", "PolicyDocument"),
    ):
        wrap(iam, "_IAM_HANDLERS", _trusting(field), entry=action)
    wrap(functions, "_create_function", _for_function)


def _first_call(*names: str) -> list[str]:
    """Return which of these nobody knows yet; from now on they are known."""
    new = [name for name in names if name in _unknown]
    _unknown.difference_update(new)
    return new


def _making_group(original: Any) -> Any:
    def create(parameters: dict[str, Any]) -> Any:
        known = set(ec2._security_groups.keys())
        response = original(parameters)
        _unknown.update(set(ec2._security_groups.keys()) - known)
        return response

    return create


def _naming_groups(original: Any) -> Any:
    def act(parameters: dict[str, Any]) -> Any:
        values = [ec2._p(parameters, name) for name in parameters if "Filter." not in name]
        if new := _first_call(*(value for value in values if _GROUP.fullmatch(value))):
            said = f"The security group '{new[0]}' does not exist"
            return ec2._error("InvalidGroup.NotFound", said, 400)
        return original(parameters)

    return act


def _trusting(field: str) -> Any:
    def wrapper(original: Any) -> Any:
        def act(parameters: dict[str, Any]) -> Any:
            for arn in _identities(iam._p(parameters, field)):
                if not _exists(arn) or _first_call(arn):
                    said = f'Invalid principal in policy: "AWS":"{arn}"'
                    return iam._error(400, "MalformedPolicyDocument", said, ns="iam")
            response = original(parameters)
            name = iam._p(parameters, "RoleName")
            if field == "AssumeRolePolicyDocument" and response[0] < 300:  # noqa: PLR2004
                _unknown.add(iam._roles[name]["Arn"])
            return response

        return act

    return wrapper


def _identities(policy: str) -> Iterator[str]:
    """Yield the roles and users whom a policy names as principals."""
    try:
        statements = json.loads(policy).get("Statement", [])
    except ValueError:
        return
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal")
        named = principal.get("AWS", []) if isinstance(principal, dict) else []
        for arn in [named] if isinstance(named, str) else named:
            if _IDENTITY.fullmatch(arn):
                yield arn


def _exists(arn: str) -> bool:
    account, kind, name = _IDENTITY.fullmatch(arn).groups()  # type: ignore[union-attr]
    store = iam._roles if kind == "role" else iam._users
    with responses.request_scope(account, responses.get_region()):
        return name in store


def _for_function(original: Any) -> Any:
    def create(data: dict[str, Any]) -> Any:
        if _first_call(str(data.get("Role"))):
            return responses.error_response_json(
                "InvalidParameterValueException",
                "The role defined for the function cannot be assumed by Lambda.",
                400,
            )
        return original(data)

    return create
