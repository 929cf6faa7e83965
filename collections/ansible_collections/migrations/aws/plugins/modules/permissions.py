#!/usr/bin/python
"""Ansible module: whether the caller may do what policies say, asked before anything is made."""

from __future__ import annotations

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    Converge,
    Document,
    error_code,
)

try:
    from botocore.exceptions import ClientError
except ImportError:
    ClientError = Exception  # type: ignore[assignment, misc]

DOCUMENTATION = r"""
module: permissions
short_description: Refuse credentials that may not do what policies allow
description:
  - Asks IAM's policy simulator whether the caller may do every action of the policies, on the
    resources they name. What is missing is told in one error.
  - An account's root is not asked about, for it may do everything. Who may not ask, and whom IAM
    cannot be asked about, gets a warning and goes on.
  - What hangs on something that only a real request has, as the caller's address or a second
    factor, counts as allowed.
  - Changes nothing, and so reports no change; it does the same in check mode.
  - No module of the AWS collections asks the policy simulator.
options:
  policies:
    description: Policy documents; each action is asked for on each resource of its statement.
    type: list
    elements: dict
    required: true
extends_documentation_fragment:
  - migrations.aws.converge
"""

EXAMPLES = r"""
- name: Refuse credentials that cannot make the role
  migrations.aws.permissions:
    policies:
      - Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: [iam:CreateRole, iam:PutRolePolicy]
            Resource: arn:aws:iam::111122223333:role/shop
"""

RETURN = r"""
caller:
  description: ARN of the identity whose credentials were found.
  returned: always
  type: str
"""

SPEC = {"policies": {"type": "list", "elements": "dict", "required": True}}
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


class Unknowable(Exception):
    """IAM cannot or may not be asked about this caller."""


class Caller:
    """The identity behind the credentials."""

    def __init__(self, run: Converge) -> None:
        self.iam = run.client("iam")
        sts = run.client("sts")
        self.arn: str = (run.read(sts.get_caller_identity) or {})["Arn"]

    @property
    def almighty(self) -> bool:
        """Whether this is the account's root, which has no policies."""
        return self.arn.endswith(":root")

    def principal(self) -> str:
        """Return the ARN of the user, or of the role behind a session.

        A session's ARN leaves out the path of its role, which roles of IAM Identity Center have.

        Raises:
            Unknowable: this is neither, or the role may not be looked up.
        """
        kind, _, rest = self.arn.split(":", 5)[5].partition("/")
        if kind == "user":
            return self.arn
        if kind != "assumed-role":
            raise Unknowable("it is neither a user nor a role")
        return str(self._ask("get_role", RoleName=rest.split("/")[0])["Role"]["Arn"])

    def missing(self, policy: Document) -> set[str]:
        """Return the actions of a policy that the caller may not do.

        Raises:
            Unknowable: the caller may not ask.
        """
        principal, found = self.principal(), set()
        for statement in policy["Statement"]:
            results = self._simulate(
                PolicySourceArn=principal,
                ActionNames=several(statement["Action"]),
                ResourceArns=several(statement["Resource"]),
            )
            found |= {r["EvalActionName"] for r in results if refused(r)}
        return found

    def _simulate(self, **request: object) -> list[Document]:
        results: list[Document] = []
        marker: dict[str, str] = {}
        while True:
            answer = self._ask("simulate_principal_policy", **request, **marker)
            results += answer["EvaluationResults"]
            if not answer.get("IsTruncated"):
                return results
            marker = {"Marker": answer["Marker"]}

    def _ask(self, call: str, **request: object) -> Document:
        try:
            return dict(getattr(self.iam, call)(**request))
        except ClientError as exc:
            if error_code(exc) in DENIED:
                raise Unknowable(f"it may not call {call}") from exc
            raise


def refused(result: Document) -> bool:
    """Tell whether a simulated request is refused, whatever a real one has beside."""
    return result["EvalDecision"] != "allowed" and not result.get("MissingContextValues")


def several(value: str | list[str]) -> list[str]:
    """Return an element of a statement, which may be one text, as a list."""
    return [value] if isinstance(value, str) else value


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    caller = Caller(run)
    if caller.almighty:
        run.exit(caller=caller.arn)
    try:
        missing = set().union(*(caller.missing(policy) for policy in run.params["policies"]))
    except Unknowable as exc:
        run.module.warn(f"Not known whether {caller.arn} may do all of this: {exc}. Going on.")
    except ClientError as exc:
        run.module.fail_json_aws(exc, msg="Asking IAM's policy simulator failed")
    else:
        if missing:
            run.module.fail_json(
                msg=f"{caller.arn} may not do all of this. It lacks {', '.join(sorted(missing))}. "
                "Use an administrator's credentials, or give these what is missing."
            )
    run.exit(caller=caller.arn)


if __name__ == "__main__":
    main()
