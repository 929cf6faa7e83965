#!/usr/bin/python
"""Ansible module: the right account's credentials, or one clear line."""

from __future__ import annotations

import os
from typing import NoReturn

try:
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        NoCredentialsError,
    )
except ImportError:
    BotoCoreError = ClientError = Exception  # type: ignore[assignment, misc]
    EndpointConnectionError = NoCredentialsError = Exception  # type: ignore[assignment, misc]

from ansible_collections.migrations.aws.plugins.module_utils.converge import (
    Converge,
    Document,
    error_code,
)
from ansible_collections.migrations.aws.plugins.module_utils.identity import session_name

DOCUMENTATION = r"""
module: session
short_description: Refuse credentials of a wrong account, and assume a role in the right one
description:
  - Looks whose credentials these are, refuses those of another account than the inventory's, and
    assumes the given role with them. Each refusal is one line that says what to do.
  - The role's session has the caller's own name, so that CloudTrail tells who did what.
  - Changes nothing, and so reports no change; it does the same in check mode.
  - Instead of M(amazon.aws.sts_assume_role), which is skipped in check mode, and
    M(amazon.aws.aws_caller_info), which refuses nobody.
options:
  environment:
    description: Name of the environment, for the messages.
    type: str
    required: true
  account_id:
    description: The account that is meant.
    type: str
    required: true
  role:
    description: Name of the role to assume; without it the credentials are only looked at.
    type: str
  trusted_callers:
    description: ARNs of roles in other accounts whose credentials are accepted as well.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - migrations.aws.converge
"""

EXAMPLES = r"""
- name: Act as the deploy role of the production account
  migrations.aws.session:
    environment: prod
    account_id: "444455556666"
    role: schema-migrations-deploy
    trusted_callers: ["arn:aws:iam::111122223333:role/schema-migrations-build-deploy"]
  register: session
  no_log: true
"""

RETURN = r"""
caller:
  description: ARN of the identity whose credentials were found.
  returned: always
  type: str
connection:
  description: The role's credentials and the region, named as the options of AWS modules.
  returned: when a role was assumed
  type: dict
"""

SPEC = {
    "environment": {"type": "str", "required": True},
    "account_id": {"type": "str", "required": True},
    "role": {"type": "str"},
    "trusted_callers": {"type": "list", "elements": "str", "default": []},
}
# No account at AWS has this number: an inventory that uses it means an emulator.
EMULATED = "000000000000"


def refuse(run: Converge, message: str) -> NoReturn:
    """End with a line that says what to do."""
    run.module.fail_json(msg=message)
    raise AssertionError


def role_of(arn: str) -> str:
    """Return the role behind an assumed role's session ARN; other ARNs as they are."""
    head, _, tail = arn.partition(":assumed-role/")
    if not tail:
        return arn
    return f"{head.replace(':sts:', ':iam:')}:role/{tail.split('/')[0]}"


def caller_identity(run: Converge) -> Document:
    """Return whose credentials these are."""
    account, name = run.params["account_id"], run.params["environment"]
    if account == EMULATED and not os.environ.get("AWS_ENDPOINT_URL"):
        refuse(
            run,
            f"The inventory '{name}' is an emulated account, but AWS_ENDPOINT_URL is not set, so "
            "this would go to the real AWS. Run `make local`, or in a shell: "
            'eval "$(.venv/bin/python -m local env)"',
        )
    try:
        return dict(run.client("sts").get_caller_identity())
    except NoCredentialsError:
        refuse(
            run,
            f"No AWS credentials were found. Give those of account {account} ('{name}'): "
            "AWS_PROFILE=… ansible-playbook …",
        )
    except EndpointConnectionError as exc:
        refuse(run, f"{exc} Is AWS_ENDPOINT_URL right? `make local` starts the local stack.")
    except (BotoCoreError, ClientError) as exc:
        refuse(
            run,
            f"AWS refuses these credentials: {exc}. Sign in again, or choose another AWS_PROFILE.",
        )


def check_account(run: Converge, caller: Document) -> None:
    """Refuse an identity of another account that is not explicitly trusted."""
    account, name = run.params["account_id"], run.params["environment"]
    if caller["Account"] == account or role_of(caller["Arn"]) in run.params["trusted_callers"]:
        return
    refuse(
        run,
        f"These credentials are of account {caller['Account']} ({caller['Arn']}), but the "
        f"inventory '{name}' is account {account}. Use credentials of {account} (AWS_PROFILE=… "
        "ansible-playbook …), or correct account_id in the inventory's group_vars/aws.yml.",
    )


def assume(run: Converge, caller: Document) -> Document:
    """Return the connection of the role's session."""
    p = run.params
    arn = f"arn:aws:iam::{p['account_id']}:role/{p['role']}"
    sts = run.client("sts")
    try:
        answer = sts.assume_role(RoleArn=arn, RoleSessionName=session_name(caller["Arn"]))
    except (BotoCoreError, ClientError) as exc:
        if error_code(exc) in ("AccessDenied", "NoSuchEntity"):
            refuse(
                run,
                f"{caller['Arn']} may not assume {arn}. If this account is new, run first, with an "
                "administrator's credentials: ansible-playbook playbooks/bootstrap.yml "
                f"-i inventories/{p['environment']}",
            )
        run.fail(exc, sts.assume_role)
    credentials = answer["Credentials"]
    return {
        "access_key": credentials["AccessKeyId"],
        "secret_key": credentials["SecretAccessKey"],
        "session_token": credentials["SessionToken"],
        "region": run.module.region,
        "profile": "",  # AWS_PROFILE has served its purpose; beside keys it is an error
    }


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    caller = caller_identity(run)
    check_account(run, caller)
    result: Document = {"caller": caller["Arn"]}
    if run.params["role"]:
        result["connection"] = assume(run, caller)
    run.exit(**result)


if __name__ == "__main__":
    main()
