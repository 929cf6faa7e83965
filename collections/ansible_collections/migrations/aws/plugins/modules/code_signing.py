#!/usr/bin/python
"""Ansible module: who may sign a Lambda function's code, and that it takes no other."""

from __future__ import annotations

from typing import Any

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    STATE,
    TAGS,
    Converge,
    Document,
    difference,
)
from ansible_collections.migrations.aws.plugins.module_utils.signing import (
    PLATFORM,
    base_name,
    find_active,
    find_config,
    find_profiles,
)

DOCUMENTATION = r"""
module: code_signing
short_description: Ensure a signing profile, and a configuration that takes nothing else
description:
  - Creates a profile of AWS Signer and a code signing configuration of Lambda that refuses code
    which this profile has not signed, and gives it to functions that are there already.
  - A profile cannot be deleted. It is cancelled, and keeps its name for ever; the next one has a
    number behind it.
  - No module of the AWS collections knows AWS Signer.
options:
  name:
    description:
      - The configuration's description, by which it is found.
      - The profile has the same name, with C(_) for what Signer does not take.
    type: str
    required: true
  functions:
    description: Functions that take signed code only from now on; those that are not there are
      made so.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - migrations.aws.converge
  - migrations.aws.converge.state
  - migrations.aws.converge.tags
"""

EXAMPLES = r"""
- name: Let only signed code run
  migrations.aws.code_signing:
    name: shop-dev
    functions: [shop-dev-runner]
"""

RETURN = r"""
config_arn:
  description: ARN of the configuration; empty where there is none.
  returned: always
  type: str
profile:
  description: Name of the profile; empty where there is none.
  returned: always
  type: str
"""

SPEC = {
    "name": {"type": "str", "required": True},
    "functions": {"type": "list", "elements": "str", "default": []},
    "tags": TAGS,
    "state": STATE,
}
MISSING = ("ResourceNotFoundException",)


class Signing:
    """A profile, a configuration, and the functions that have it."""

    def __init__(self, run: Converge) -> None:
        self.run, self.name = run, run.params["name"]
        self.api, self.signer = run.client("lambda"), run.client("signer")
        self.profiles = find_profiles(run, self.name)
        self.profile: Document = find_active(self.profiles) or {}
        self.config: Document = find_config(run, self.name) or {}

    def ensure(self) -> None:
        """Bring profile, configuration and functions in line."""
        if not self.profile:
            self._make_profile()
        wanted = {
            "AllowedPublishers": {
                "SigningProfileVersionArns": [self.profile.get("profileVersionArn", "")]
            },
            "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Enforce"},
        }
        if not self.config:
            self.run.after |= wanted
            request = {**wanted, "Description": self.name, "Tags": self.run.params["tags"]}
            made = self.run.send(self.api.create_code_signing_config, **request)
            self.config = made.get("CodeSigningConfig", {})
        elif changes := difference(self.config, wanted):
            self.run.before |= {key: self.config.get(key) for key in changes}
            self.run.after |= changes
            self.run.send(self.api.update_code_signing_config, **self._arn(), **changes)
        for function in self.run.params["functions"]:
            found = self._of(function)
            if found is not None and found != self._arn().get("CodeSigningConfigArn"):
                self.run.send(
                    self.api.put_function_code_signing_config,
                    FunctionName=function,
                    **self._arn(),
                )

    def _make_profile(self) -> None:
        taken = {one["profileName"] for one in self.profiles}
        base = base_name(self.name)
        names = [base, *(f"{base}_{n}" for n in range(2, len(taken) + 2))]
        free = next(name for name in names if name not in taken)
        request: dict[str, Any] = {"profileName": free, "platformId": PLATFORM}
        if tags := self.run.params["tags"]:
            request["tags"] = tags
        self.run.after["profile"] = free
        self.profile = {**self.run.send(self.signer.put_signing_profile, **request), **request}

    def _arn(self) -> dict[str, str]:
        return {"CodeSigningConfigArn": self.config.get("CodeSigningConfigArn", "")}

    def _of(self, function: str) -> str | None:
        """Return the ARN of a function's configuration, None where there is no function."""
        request = {"FunctionName": function}
        found = self.run.read(self.api.get_function_code_signing_config, MISSING, **request)
        return None if found is None else str(found.get("CodeSigningConfigArn") or "")

    def remove(self) -> None:
        """Let the functions go, delete the configuration and cancel the profile."""
        if self.config:
            self.run.before["config"] = self.config["CodeSigningConfigArn"]
            for function in self.run.params["functions"]:
                if self._of(function) == self.config["CodeSigningConfigArn"]:
                    detach = self.api.delete_function_code_signing_config
                    self.run.send(detach, FunctionName=function)
            self.run.send(self.api.delete_code_signing_config, **self._arn())
        if self.profile:
            self.run.before["profile"] = self.profile["profileName"]
            cancel = self.signer.cancel_signing_profile
            self.run.send(cancel, profileName=self.profile["profileName"])
        self.config, self.profile = {}, {}


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    signing = Signing(run)
    if run.params["state"] == "present":
        signing.ensure()
    else:
        signing.remove()
    run.exit(
        config_arn=signing.config.get("CodeSigningConfigArn", ""),
        profile=signing.profile.get("profileName", ""),
    )


if __name__ == "__main__":
    main()
