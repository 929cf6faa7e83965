"""Make ministack's IAM see the resources, actions and condition keys that our policies name.

Without this it evaluates these requests against "*", and a policy that is right on AWS is refused.
"""
# ruff: noqa: SLF001 (patching private names is this module's purpose)

import dataclasses
import json
from typing import Any

from local.emulator.patches import add, module, wrap
from local.emulator.resources import Request, naming

actions = module("ministack.core.iam_actions")
evaluator = module("ministack.core.iam_evaluator")
iam = module("ministack.services.iam")
kms = module("ministack.services.kms")
responses = module("ministack.core.responses")

# What a parameter names, by the service that is asked.
_PARAMETERS = {
    "iam": {
        "InstanceProfileName": "arn:aws:iam::{account}:instance-profile/{name}",
        "PolicyName": "arn:aws:iam::{account}:policy/{name}",
    },
    "rds": {
        "ResourceName": "{name}",
        "TargetDBInstanceIdentifier": "arn:aws:rds:{scope}:db:{name}",
        "DBSubnetGroupName": "arn:aws:rds:{scope}:subgrp:{name}",
        "DBClusterParameterGroupName": "arn:aws:rds:{scope}:cluster-pg:{name}",
        "DBParameterGroupName": "arn:aws:rds:{scope}:pg:{name}",
        "DBClusterSnapshotIdentifier": "arn:aws:rds:{scope}:cluster-snapshot:{name}",
    },
}
# What a field names.
_FIELDS = {"lambda": ("FunctionName", "function:"), "events": ("Rule", "rule/")}
_ALIAS_ACTIONS = {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}


def patch() -> None:
    """Replace what names a request's resource, action and context."""
    wrap(actions, "extract_resource_arn", naming(_named))
    wrap(actions, "_lambda_action", _with_aliases)
    wrap(actions, "request_tag_context", _with_boundary)
    wrap(evaluator, "evaluate_trust_policy", _with_source)
    wrap(evaluator, "_gather_role_policies", _without_path)
    wrap(evaluator, "_resolve_condition_key", _over_tls)
    for action in ("CreateRole", "UpdateAssumeRolePolicy"):
        wrap(iam, "_IAM_HANDLERS", _keeping_principals, entry=action)
    add(iam, "_IAM_HANDLERS", "SetDefaultPolicyVersion", _set_default)


def may(role: str, action: str, resource: str, about: dict[str, str] | None = None) -> bool:
    """Return whether a role's policies and its boundary let it act; one that is gone may nothing.

    Args:
        role: its ARN.
        about: the values of the service's own condition keys.

    """
    account, name = role.split(":")[4], role.rpartition("/")[2]
    with responses.request_scope(account, responses.get_region()):
        asked = evaluator.EvalContext(
            principal_arn=role,
            principal_type="Role",
            principal_account=account,
            action=action,
            resource_arn=resource,
            region=responses.get_region(),
            service_context={key.lower(): value for key, value in (about or {}).items()},
        )
        policies = evaluator._gather_role_policies(name, account)
        limits = evaluator._permissions_boundary(iam._roles, name, account)
        return bool(evaluator.evaluate(asked, policies, *limits).decision == "Allow")


def _over_tls(original: Any) -> Any:
    """Take a request for one over TLS, as AWS's endpoints have it and ours do not."""

    def resolve(key: str, context: Any) -> Any:
        return "true" if key.lower() == "aws:securetransport" else original(key, context)

    return resolve


def _named(request: Request, arn: str) -> str:
    """Name a request's resource as AWS does, where ministack names another or none."""
    service, scope = request.service, request.scope
    if service == "ssm":  # AWS's own parameters belong to no account
        account = request.account
        return arn.replace(f":{account}:parameter/aws/service/", "::parameter/aws/service/")
    if service == "events":  # AWS leaves the default bus out of its rules' names
        arn = arn.replace(":rule/default/", ":rule/")
    if service == "kms" and ":alias/" in arn:  # AWS asks whether the key behind it may be used
        return _key_of_alias(arn)
    if arn != "*":
        stream = _stream(request.body) if service == "logs" else None
        return f"{arn}:log-stream:{stream}" if stream else arn
    if service == "sns":
        return actions._query_param(request.parameters, "ResourceArn") or "*"
    if service == "monitoring":
        return _alarm(request.body, scope)
    return _resource(service, request.body, request.parameters, scope)


def _resource(service: str, body: Any, parameters: Any, scope: str) -> str:
    """Name the resource of a request that ministack does not look into."""
    query, field = actions._query_param, actions._safe_json_field
    if service == "kms" and (name := field(body, "AliasName")):
        return f"arn:aws:kms:{scope}:{name}"
    if service == "states" and (arn := field(body, "resourceArn") or field(body, "mapRunArn")):
        return str(arn)
    parameter, kind = _FIELDS.get(service, ("", ""))
    if name := field(body, parameter):
        return f"arn:aws:{service}:{scope}:{kind}{name}"
    if service == "codebuild" and (name := _project(body)):
        return f"arn:aws:codebuild:{scope}:project/{name}"
    for parameter, arn in _PARAMETERS.get(service, {}).items():
        if name := query(parameters, parameter):
            return arn.format(name=name, scope=scope, account=scope.rpartition(":")[2])
    return "*"


def _stream(body: Any) -> str | None:
    """Name the stream that events are read from or written to; what makes it is about the group."""
    field = actions._safe_json_field
    of_events = ("endTime", "limit", "logEvents", "nextToken", "startFromHead", "startTime")
    named = any(field(body, name) is not None for name in of_events)
    return str(field(body, "logStreamName")) if named and field(body, "logStreamName") else None


def _project(body: Any) -> str | None:
    """Name the project of a request; builds are their project's, by whose name theirs begins."""
    field = actions._safe_json_field
    build = str(_first(field(body, "ids")) or "").rpartition("build/")[2]
    name = field(body, "name") or _first(field(body, "names")) or build.partition(":")[0]
    return str(name) if name else None


def _key_of_alias(arn: str) -> str:
    key = kms._resolve_key(arn)
    return key["Arn"] if key else arn


def _alarm(body: Any, scope: str) -> str:
    """Name the alarm of a request; one that names none is about all of them."""
    field = actions._safe_json_field
    if arn := field(body, "ResourceARN"):
        return str(arn)
    return f"arn:aws:cloudwatch:{scope}:alarm:{_first(field(body, 'AlarmNames')) or '*'}"


def _first(names: Any) -> Any:
    return names[0] if isinstance(names, list) and names else None


def _with_aliases(original: Any) -> Any:

    def action(method: str, path: str) -> str | None:
        parts = [part for part in path.split("/") if part]
        if "aliases" in parts and parts[-1] != "aliases":
            return _ALIAS_ACTIONS.get(method)
        found: str | None = original(method, path)
        return found

    return action


def _with_boundary(original: Any) -> Any:
    """Provide iam:PermissionsBoundary: the boundary given, or the one the role already has."""

    def context(service: str, action: str, body: Any, parameters: Any) -> dict[str, Any]:
        found: dict[str, Any] = dict(original(service, action, body, parameters))
        if service == "iam":
            role = iam._roles.get(actions._query_param(parameters, "RoleName")) or {}
            given = actions._query_param(parameters, "PermissionsBoundary")
            if boundary := given or role.get("PermissionsBoundary"):
                found["iam:permissionsboundary"] = boundary
        return found

    return context


def _with_source(original: Any) -> Any:
    """Let a service that assumes a role say for which resource it acts, as services do on AWS.

    An account's root stands for the services here. The resource's ARN travels as ExternalId, and
    becomes aws:SourceArn and aws:SourceAccount, on which our roles' trust depends.
    """

    def evaluate(trust: Any, caller: str, context: Any = None) -> bool:
        if context and caller.endswith(":root"):
            source = context.service_context.get("sts:externalid") or ""
            if source.startswith("arn:"):
                sources = {"aws:sourcearn": source, "aws:sourceaccount": source.split(":")[4]}
                context = dataclasses.replace(
                    context, service_context={**context.service_context, **sources}
                )
        allowed: bool = original(trust, caller, context)
        return allowed

    return evaluate


def _without_path(original: Any) -> Any:
    """Let the policy simulator find roles that have a path."""

    def gather(name: str, account: str) -> Any:
        return original(name.rpartition("/")[2], account)

    return gather


def _keeping_principals(original: Any) -> Any:
    """Keep the principals of a role's trust as IAM does: in its own order, a single one as text.

    IAM User Guide, Principal: "When you save the policy, IAM transforms the ARN to the principal's
    unique ID", and writes ARNs again when it is read; a list of one comes back as a string.
    """

    def act(parameters: dict[str, Any]) -> Any:
        response = original(parameters)
        role = iam._roles.get(iam._p(parameters, "RoleName"))
        if response[0] < 300 and role:  # noqa: PLR2004
            trust = json.loads(role["AssumeRolePolicyDocument"])
            statements = trust["Statement"]
            for statement in [statements] if isinstance(statements, dict) else statements:
                _reorder(statement.get("Principal"))
            role["AssumeRolePolicyDocument"] = json.dumps(trust)
        return response

    return act


def _reorder(principal: Any) -> None:
    for kind, names in principal.items() if isinstance(principal, dict) else ():
        if isinstance(names, list):
            principal[kind] = names[0] if len(names) == 1 else sorted(names, reverse=True)


def _set_default(asked: Any) -> Any:
    """Let another version of a policy count, which ministack does only as it makes one."""
    arn, wanted = (iam._p(asked, name) for name in ("PolicyArn", "VersionId"))
    policy = iam._policies.get(arn)
    if not policy or wanted not in policy["Versions"]:
        return iam._error(404, "NoSuchEntity", f"{arn} has no version {wanted}.", ns="iam")
    for name, version in policy["Versions"].items():
        version["IsDefaultVersion"] = name == wanted
    policy["DefaultVersionId"] = wanted
    return iam._xml(200, "SetDefaultPolicyVersionResponse", "", ns="iam")
