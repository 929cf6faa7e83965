"""The versions of a Lambda function, and the aliases that point to the one in use."""

from __future__ import annotations

from typing import Any

from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge, Document

MISSING = ("ResourceNotFoundException",)
# What a version shares with the function if nothing was changed since it was published.
RELEASED = (
    "CodeSha256",
    "Runtime",
    "Handler",
    "Role",
    "Timeout",
    "MemorySize",
    "Environment",
    "Description",
)


def settled(run: Converge, api: Any, *, updated: bool = False, **request: Any) -> Document:
    """Wait until AWS is done with a function, or one of its versions; return its configuration.

    It may then be Inactive: nobody called it for weeks, Lambda took its network interfaces back,
    and the next call wakes it. AWS takes changes of such a function as of any other.

    Parameters:
        updated: whether an update was sent, whose failure ends the module.
        request: FunctionName and, for a version, Qualifier.
    """
    found = run.poll(
        api.get_function_configuration,
        lambda f: f.get("State") != "Pending" and f.get("LastUpdateStatus") != "InProgress",
        **request,
    )
    name = ":".join(request.values())
    if found.get("State") == "Failed":
        run.module.fail_json(
            msg=f"The function {name} failed: {_reason(found, 'State')}. It will not recover. Mend "
            f"that, run `aws lambda delete-function --function-name {name}` and then this again."
        )
    if updated and found.get("LastUpdateStatus") == "Failed":
        run.module.fail_json(
            msg=f"The update of the function {name} failed: {_reason(found, 'LastUpdateStatus')}. "
            "The release before it stays in use. Mend that and run this again."
        )
    return found


def _reason(found: Document, status: str) -> str:
    """Return why AWS says that a status is what it is."""
    text = found.get(f"{status}Reason") or "AWS gives no reason"
    return f"{text.rstrip('.')} ({found.get(f'{status}ReasonCode') or 'no code'})"


class Release:
    """The aliases, the version they point to, and the versions before that."""

    def __init__(self, run: Converge, api: Any, function: Document) -> None:
        self.run, self.api, self.function = run, api, function
        self.name = {"FunctionName": run.params["name"]}
        self.version = ""

    def ensure(self) -> str:
        """Point every alias at one version that equals the function as it is now; return it."""
        aliases = {name: self._alias(name) for name in self.run.params["aliases"]}
        pointed = {alias["FunctionVersion"] for alias in aliases.values() if alias}
        if len(pointed) == 1 and not self.run.changed and self._same(*pointed):
            (self.version,) = map(str, pointed)
        else:
            published = self.run.send(self.api.publish_version, **self.name)
            self.version = str(published.get("Version", ""))  # empty in check mode
            if self.version:
                settled(self.run, self.api, **self.name, Qualifier=self.version)
        for name, alias in aliases.items():
            self._point(name, alias)
        return self.version

    def _alias(self, name: str) -> Document | None:
        return self.run.read(self.api.get_alias, MISSING, **self.name, Name=name)

    def _point(self, name: str, alias: Document | None) -> None:
        request = {**self.name, "Name": name, "FunctionVersion": self.version}
        if alias is None:
            self.run.send(self.api.create_alias, **request)
        elif alias["FunctionVersion"] != self.version:
            self.run.send(self.api.update_alias, **request)

    def _same(self, version: str) -> bool:
        request = {**self.name, "Qualifier": version}
        released = self.run.read(self.api.get_function_configuration, MISSING, **request) or {}
        return all(released.get(key) == self.function.get(key) for key in RELEASED)

    def prune(self) -> None:
        """Delete the oldest versions, but never one that an alias points to."""
        if not self.function:
            return
        versions = self._pages("list_versions_by_function", "Versions")
        numbers = sorted(int(v["Version"]) for v in versions if v["Version"].isdigit())
        coming = 0 if self.version else 1
        old = numbers[: max(0, len(numbers) + coming - self.run.params["keep_versions"])]
        used = self._used() if old else set()
        unwanted = [number for number in old if str(number) not in used]
        if unwanted:
            self.run.before["versions"] = numbers
            self.run.after["versions"] = [n for n in numbers if n not in unwanted]
        for number in unwanted:
            self.run.send(self.api.delete_function, **self.name, Qualifier=str(number))

    def _used(self) -> set[str]:
        """Return the versions that any alias sends callers to."""
        used = set()
        for alias in self._pages("list_aliases", "Aliases"):
            weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
            used |= {alias["FunctionVersion"], *weights}
        return used

    def _pages(self, operation: str, key: str) -> list[Document]:
        """Return what all pages of a list hold."""
        found: list[Document] = []
        request = dict(self.name)
        while True:
            answer = self.run.read(getattr(self.api, operation), **request) or {}
            found += answer.get(key, [])
            if not answer.get("NextMarker"):
                return found
            request["Marker"] = answer["NextMarker"]
