#!/usr/bin/python
"""Ansible module: a Lambda function released under its aliases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    STATE,
    TAGS,
    Converge,
    Document,
    difference,
)
from ansible_collections.migrations.aws.plugins.module_utils.release import Release, settled
from ansible_collections.migrations.aws.plugins.module_utils.signing import (
    find_config,
    find_signed,
)

DOCUMENTATION = r"""
module: lambda_function
short_description: Ensure a Lambda function and the version its aliases point to
description:
  - Creates or updates the function, waits until AWS has finished, publishes a version when code or
    configuration changed, and points the aliases to it. A package with the same hash changes
    nothing.
  - Then deletes the oldest versions, but never one that an alias points to.
  - A run that was interrupted between any two of these is finished by the next one.
  - Signed code differs from the package in each signature, so that the function's tags say which
    package it was made of (C(Package)) and which code that is (C(Signed)).
  - Instead of M(amazon.aws.lambda) and M(amazon.aws.lambda_alias). The first publishes a version
    when the code changes and none when only the configuration does; old versions stay; and
    neither finishes a run that was interrupted between publishing and pointing the alias.
options:
  name:
    description: Name of the function.
    type: str
    required: true
  aliases:
    description: Names of the aliases that callers use; all point to the same version.
    type: list
    elements: str
    default: [live]
  description:
    description: What the function does.
    type: str
    default: ""
  package:
    description: Path of the zip; required when the function is to exist.
    type: path
  sha256:
    description: The zip's SHA-256 in base64, as M(migrations.aws.lambda_zip) returns it.
    type: str
  code_signing:
    description:
      - The name that M(migrations.aws.code_signing) was given, if the function is to take signed
        code only. A function that is there must have that configuration already.
    type: str
  code_bucket:
    description: The bucket where M(migrations.aws.signed_package) has put the signed package.
    type: str
  runtime:
    description: Lambda's name of the runtime.
    type: str
  architecture:
    description: Lambda's name of the processor.
    type: str
  handler:
    description: The function to call, as C(package.module.function).
    type: str
  role:
    description: ARN of the execution role.
    type: str
  timeout:
    description: Seconds after which a run is killed.
    type: int
    default: 900
  memory:
    description: Memory in MB.
    type: int
    default: 512
  environment:
    description: Environment variables.
    type: dict
    default: {}
  subnets:
    description: Subnets of the function.
    type: list
    elements: str
    default: []
  security_groups:
    description: Security groups of the function.
    type: list
    elements: str
    default: []
  keep_versions:
    description: How many of the newest versions to keep, for going back. At least 1.
    type: int
    default: 5
extends_documentation_fragment:
  - migrations.aws.converge
  - migrations.aws.converge.state
  - migrations.aws.converge.tags
"""

EXAMPLES = r"""
- name: Release the runner
  migrations.aws.lambda_function:
    name: shop-dev-runner
    package: "{{ zip.path }}"
    sha256: "{{ zip.sha256 }}"
    runtime: "{{ zip.runtime }}"
    architecture: "{{ zip.architecture }}"
    handler: runner.handler.handle
    role: "{{ role.arn }}"
"""

RETURN = r"""
arn:
  description: ARN of the function, without an alias.
  returned: when the function exists
  type: str
version:
  description: The version that the aliases point to; empty where check mode would publish one.
  returned: when the function exists
  type: str
"""

SPEC = {
    "name": {"type": "str", "required": True},
    "aliases": {"type": "list", "elements": "str", "default": ["live"]},
    "description": {"type": "str", "default": ""},
    "package": {"type": "path"},
    "sha256": {"type": "str"},
    "code_signing": {"type": "str"},
    "code_bucket": {"type": "str"},
    "runtime": {"type": "str"},
    "architecture": {"type": "str"},
    "handler": {"type": "str"},
    "role": {"type": "str"},
    "timeout": {"type": "int", "default": 900},
    "memory": {"type": "int", "default": 512},
    "environment": {"type": "dict", "default": {}},
    "subnets": {"type": "list", "elements": "str", "default": []},
    "security_groups": {"type": "list", "elements": "str", "default": []},
    "keep_versions": {"type": "int", "default": 5},
    "tags": TAGS,
    "state": STATE,
}
REQUIRED = ["package", "sha256", "runtime", "architecture", "handler", "role"]
MISSING = ("ResourceNotFoundException",)
# A role made a moment ago is not known everywhere, or not with its policy; AWS then answers so.
ROLE_NOT_READY = ("assumed by Lambda", "execution role does not have permissions")


class Function:
    """The function, its code, its versions and its aliases."""

    def __init__(self, run: Converge) -> None:
        self.run = run
        self.api = run.client("lambda")
        self.name = {"FunctionName": run.params["name"]}
        found = run.read(self.api.get_function, MISSING, **self.name) or {}
        self.current: Document = found.get("Configuration", {})
        self.tags = self._tags(found)

    def _tags(self, found: Document) -> dict[str, str]:
        """Return the tags, for which who may not list them has to ask, and is told so."""
        if not self.current or "Tags" in found:
            return dict(found.get("Tags", {}))
        arn = self.current["FunctionArn"]
        return dict((self.run.read(self.api.list_tags, Resource=arn) or {}).get("Tags", {}))

    def wanted(self) -> Document:
        """Return the configuration as AWS names it."""
        p = self.run.params
        return {
            "Description": p["description"],
            "Runtime": p["runtime"],
            "Handler": p["handler"],
            "Role": p["role"],
            "Timeout": p["timeout"],
            "MemorySize": p["memory"],
            "Environment": {"Variables": {k: str(v) for k, v in p["environment"].items()}},
            "VpcConfig": {
                "SubnetIds": sorted(p["subnets"]),
                "SecurityGroupIds": sorted(p["security_groups"]),
            },
        }

    def comparable(self) -> Document:
        """Return what AWS has, in the same form; lists whose order means nothing are sorted."""
        vpc = self.current.get("VpcConfig", {})
        return {
            **self.current,
            "Environment": self.current.get("Environment", {"Variables": {}}),
            "VpcConfig": {
                key: sorted(vpc.get(key, [])) for key in ("SubnetIds", "SecurityGroupIds")
            },
        }

    def ensure(self) -> None:
        """Create or update; then wait until AWS has finished."""
        want = self.wanted()
        if not self.current:
            self._create(want)
            return
        self._settle()
        have = self.comparable()
        # Of an update that failed, AWS may show the values though the old ones are in use.
        failed = self.current.get("LastUpdateStatus") == "Failed"
        changes = {key: value for key, value in want.items() if failed or have.get(key) != value}
        self.run.before = {key: have.get(key) for key in changes}
        self.run.after = dict(changes)
        if changes:
            self._send_with_role(self.api.update_function_configuration, **changes)
            self._settle(updated=True)
        self._ensure_code(again=failed)

    def _ensure_code(self, *, again: bool) -> None:
        p = self.run.params
        code = {"CodeSha256": p["sha256"], "Architectures": [p["architecture"]]}
        if p["code_signing"]:
            self._require_signing()
        if update := code if again else difference({**self.current, **self._known()}, code):
            self.run.before |= {key: self.current.get(key) for key in update}
            self.run.after |= update
            self.run.send(
                self.api.update_function_code,
                **self.name,
                **self._package(),
                Architectures=code["Architectures"],
            )
            self._settle(updated=True)

    def _known(self) -> Document:
        """Return the hash of the package that signed code was made of, if that is known."""
        if not self.run.params["code_signing"]:
            return {}
        same = self.tags.get("Signed") == self.current["CodeSha256"]
        return {"CodeSha256": self.tags.get("Package") if same else None}

    def _require_signing(self) -> None:
        """End the module unless the function takes signed code only."""
        found = self.run.read(self.api.get_function_code_signing_config, **self.name) or {}
        if found.get("CodeSigningConfigArn") != self._config():
            self.run.module.fail_json(
                msg=f"The function {self.run.params['name']} takes code that nobody has signed. An "
                "administrator changes that: ansible-playbook playbooks/bootstrap.yml"
            )

    def _config(self) -> str:
        """Return the ARN of the code signing configuration."""
        name = self.run.params["code_signing"]
        if not (found := find_config(self.run, name)):
            self.run.module.fail_json(
                msg=f"There is no code signing configuration '{name}'. An administrator makes it: "
                "ansible-playbook playbooks/bootstrap.yml, with runner_signed: true"
            )
            raise AssertionError
        return str(found["CodeSigningConfigArn"])

    def ensure_tags(self) -> None:
        """Add the tags that are missing, of which no version has any."""
        if not self.current:
            return
        wanted = {**self.run.params["tags"], **self._signed_tags()}
        if missing := {k: v for k, v in wanted.items() if self.tags.get(k) != v}:
            self.run.send(self.api.tag_resource, Resource=self.current["FunctionArn"], Tags=missing)

    def _signed_tags(self) -> dict[str, str]:
        p = self.run.params
        if not p["code_signing"]:
            return {}
        return {"Package": p["sha256"], "Signed": self.current["CodeSha256"]}

    def _package(self) -> Document:
        """Return the zip or where it is signed; check mode has written and signed none."""
        p = self.run.params
        if not p["code_signing"]:
            check = self.run.module.check_mode
            return {"ZipFile": b"" if check else Path(p["package"]).read_bytes()}
        key = find_signed(self.run, p["code_bucket"], p["sha256"])
        if not key and not self.run.module.check_mode:
            self.run.module.fail_json(
                msg=f"Nobody has signed {p['package']}: {p['code_bucket']} does not have it. Run "
                "playbooks/sign.yml, as the role that may; in the pipeline the action Sign does"
            )
        return {"S3Bucket": p["code_bucket"], "S3Key": key or ""}

    def _create(self, want: Document) -> None:
        p = self.run.params
        self.run.after = {"present": True, **want}
        request = {
            **want,
            "Code": self._package(),
            "Architectures": [p["architecture"]],
            "Tags": p["tags"],
        }
        if p["code_signing"]:
            request["CodeSigningConfigArn"] = self._config()
        self.current = self._send_with_role(self.api.create_function, **request)
        self.tags = p["tags"]
        self._settle(updated=True)

    def _send_with_role(self, call: Callable[..., Document], **request: Any) -> Document:
        """Send a change that names the role, as soon as Lambda knows it."""
        codes = ("InvalidParameterValueException",)
        request |= self.name
        return self.run.send_when_ready(call, codes, ROLE_NOT_READY, 10, **request)

    def _settle(self, *, updated: bool = False) -> None:
        """Wait until AWS is done with the function; `updated` if an update's failure is an end."""
        if not self.run.module.check_mode:
            self.current = settled(self.run, self.api, updated=updated, **self.name)

    def remove(self) -> None:
        """Delete the function with all its versions and aliases."""
        if self.current:
            self.run.before = {"present": True}
            self.run.send(self.api.delete_function, **self.name)


def main() -> None:
    """Run the module."""
    together = [("code_signing", "code_bucket")]
    run = Converge(SPEC, required_if=[("state", "present", REQUIRED)], required_together=together)
    if run.params["keep_versions"] < 1:
        run.module.fail_json(msg="keep_versions is less than 1: the aliases need a version")
    function = Function(run)
    if run.params["state"] == "absent":
        function.remove()
        run.exit()
    function.ensure()
    release = Release(run, function.api, function.current)
    version = release.ensure()
    release.prune()
    function.ensure_tags()
    run.exit(arn=function.current.get("FunctionArn", ""), version=version)


if __name__ == "__main__":
    main()
