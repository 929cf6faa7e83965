"""What AWS's reference has against a policy. Each finding is one line that names its action."""

from collections.abc import Iterator
from typing import Any

from tests.policies.reference import Action, action, actions, plain
from tests.policies.rendered import Policy

Statement = dict[str, Any]
# Keys that every request has, whatever its action.
GLOBAL_KEYS = {"aws:requestedregion", "aws:securetransport", "aws:sourceaccount", "aws:sourcearn"}
# A key of the caller rather than of the request: Lambda gives it to all that its functions ask for.
CALLER_KEYS = {"lambda:sourcefunctionarn"}


def several(value: Any) -> list[Any]:
    """Return a policy's element, which is a list unless it has one entry only, as a list."""
    return value if isinstance(value, list) else [value]


def named(policy: Policy) -> Iterator[tuple[Statement, str]]:
    """Yield every action with its statement."""
    for statement in policy.statements:
        for pattern in several(statement["Action"]):
            for name in actions(pattern):
                yield statement, name


def known(policy: Policy) -> Iterator[tuple[Statement, str, Action]]:
    """Yield every action that AWS knows, with its statement and what AWS says of it."""
    for statement, name in named(policy):
        if found := action(name):
            yield statement, name, found


def unknown(policy: Policy) -> Iterator[str]:
    """Find actions that do not exist: a mistyped one grants nothing."""
    yield from (name for _, name in named(policy) if not action(name))


def misplaced(policy: Policy) -> Iterator[str]:
    """Find actions of a statement without a resource they are about, and the reverse."""
    for statement in policy.statements:
        arns = [arn for arn in several(statement.get("Resource", "*")) if arn != "*"]
        found = {n: action(n) for pattern in several(statement["Action"]) for n in actions(pattern)}
        fitting = {n: {a for a in arns if about.matching(a)} for n, about in found.items() if about}
        if "*" not in str(statement["Action"]):
            yield from (f"{name} on {arns}" for name, fits in fitting.items() if arns and not fits)
        idle = set(arns).difference(*fitting.values())
        yield from (f"{arn} under {statement['Action']}" for arn in sorted(idle))


def boundless(policy: Policy) -> Iterator[str]:
    """Find actions allowed on everything, although AWS lets a policy say on what."""
    for statement, name, about in known(policy):
        everything = "*" in several(statement.get("Resource", []))
        if statement["Effect"] == "Allow" and everything and about.resources:
            yield name


def uncovered(policy: Policy) -> Iterator[str]:
    """Find types of resources that AWS always looks at, but no statement allows the action on."""
    for name in sorted({name for _, name in named(policy)}):
        if not (about := action(name)):
            continue
        allowed = [s for s, n in named(policy) if n == name and s["Effect"] == "Allow"]
        arns = [arn for s in allowed for arn in several(s.get("Resource", "*"))]
        covered = {kind for arn in arns for kind in about.matching(arn)}
        missing = {kind for kind, r in about.resources.items() if r.required} - covered
        if allowed and "*" not in arns:
            yield from (f"{name} on {kind}" for kind in sorted(missing))


def deaf(policy: Policy) -> Iterator[str]:
    """Find conditions on keys that the request does not have: the statement never matches."""
    for statement, name, about in known(policy):
        asked = {plain(key) for block in statement.get("Condition", {}).values() for key in block}
        for arn in several(statement.get("Resource", "*")):
            kinds = list(about.resources) if arn == "*" else about.matching(arn)
            offered = about.keys.union(*(about.resources[kind].keys for kind in kinds))
            if kinds or arn == "*":
                strange = asked - GLOBAL_KEYS - CALLER_KEYS - offered
                yield from (f"{key} of {name} on {arn}" for key in sorted(strange))


def lonely(policy: Policy) -> Iterator[str]:
    """Find actions for which AWS needs another one that the same policy does not allow."""
    allowed = {name for s, name in named(policy) if s["Effect"] == "Allow"}
    for name in sorted(allowed):
        if about := action(name):
            yield from (f"{name} needs {other}" for other in sorted(about.dependents - allowed))
