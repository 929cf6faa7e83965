#!/usr/bin/python
"""Ansible module: whether an account's quotas suffice, asked before anything is made."""

from __future__ import annotations

from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge, Document

DOCUMENTATION = r"""
module: quotas
short_description: Refuse an account whose quotas do not suffice
description:
  - Asks Service Quotas for the account's own values, which in a new account may be lower than
    AWS's defaults, and refuses what is too low in one error, with what AWS would have said later.
  - A quota that AWS does not list by that name, and credentials that may not ask, get a warning.
  - Changes nothing, and so reports no change; it does the same in check mode.
  - No module of the AWS collections asks Service Quotas.
options:
  quotas:
    description: What is needed.
    type: list
    elements: dict
    required: true
    suboptions:
      service:
        description: Code of the service, as C(codebuild).
        type: str
        required: true
      name:
        description: Name of the quota, as Service Quotas lists it.
        type: str
        required: true
      at_least:
        description: The least value that suffices.
        type: int
        required: true
      key:
        description: Key of the inventory that asks for it.
        type: str
        required: true
      refused:
        description: What AWS would say where the quota is reached.
        type: str
        required: true
      fix:
        description: What to do.
        type: str
        required: true
extends_documentation_fragment:
  - migrations.aws.converge
"""

EXAMPLES = r"""
- name: Refuse an account that may not build
  migrations.aws.quotas:
    quotas:
      - service: codebuild
        name: Concurrently running builds for ARM/Small environment
        at_least: 1
        key: pipeline_container
        refused: Cannot have more than 0 builds in queue for the account
        fix: ask for more, or set pipeline_container to LINUX_CONTAINER
"""

RETURN = r"""
values:
  description: The account's values by the names of the quotas; without those that are not known.
  returned: always
  type: dict
"""

STRING = {"type": "str", "required": True}
QUOTA = {
    "service": STRING,
    "name": STRING,
    "at_least": {"type": "int", "required": True},
    "key": STRING,
    "refused": STRING,
    "fix": STRING,
}
SPEC = {"quotas": {"type": "list", "elements": "dict", "required": True, "options": QUOTA}}
UNKNOWN = ("NoSuchResourceException",)
# Of credentials that may not ask; whether AWS will refuse later, nobody knows.
DENIED = ("AccessDeniedException", "AccessDenied")


class Quotas:
    """The quotas of one account in one region."""

    def __init__(self, run: Converge) -> None:
        self.run = run
        self.api = run.client("service-quotas")
        self.listed: dict[str, dict[str, Document]] = {}

    def value(self, service: str, name: str) -> float | None:
        """Return the account's value of a quota; None if it is not known."""
        if service not in self.listed:
            self.listed[service] = {quota["QuotaName"]: quota for quota in self._list(service)}
        if not (default := self.listed[service].get(name)):
            return None
        # One that was never changed may have no value of the account's own.
        found = self.run.read(
            self.api.get_service_quota,
            (*UNKNOWN, *DENIED),
            ServiceCode=service,
            QuotaCode=default["QuotaCode"],
        )
        return float((found or {}).get("Quota", default)["Value"])

    def _list(self, service: str) -> list[Document]:
        """Return AWS's defaults, which every quota has; nothing where that may not be asked."""
        quotas: list[Document] = []
        request = {"ServiceCode": service}
        while True:
            answer = self.run.read(
                self.api.list_aws_default_service_quotas, (*UNKNOWN, *DENIED), **request
            )
            quotas += (answer or {}).get("Quotas", [])
            if not answer or not answer.get("NextToken"):
                return quotas
            request["NextToken"] = answer["NextToken"]


def refusal(quota: Document, value: float) -> str:
    """Return what is said of a quota that is too low."""
    return (
        f"{quota['key']}: this account's quota '{quota['name']}' ({quota['service']}) is "
        f"{value:g}, and {quota['at_least']} is needed. AWS would say later: {quota['refused']}. "
        f"To mend it: {quota['fix']}"
    )


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    quotas, values, refusals = Quotas(run), {}, []
    for quota in run.params["quotas"]:
        value = quotas.value(quota["service"], quota["name"])
        if value is None:
            run.module.warn(f"Not known what this account's quota '{quota['name']}' is. Going on.")
            continue
        values[quota["name"]] = value
        if value < quota["at_least"]:
            refusals.append(refusal(quota, value))
    if refusals:
        run.module.fail_json(msg="; ".join(refusals), values=values)
    run.exit(values=values)


if __name__ == "__main__":
    main()
