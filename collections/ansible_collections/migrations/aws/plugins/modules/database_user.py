#!/usr/bin/python
"""Ansible module: the PostgreSQL user that migrates, who logs in through IAM."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge, Document

DOCUMENTATION = r"""
module: database_user
short_description: Ensure the PostgreSQL user that migrates a database and logs in through IAM
description:
  - Ensures a user that logs in with tokens (a member of C(rds_iam)) and may create in the database
    and in its schema C(public), and nothing more.
  - Speaks to the cluster through its Data API as the master user, so that this machine needs no
    way into the network. Wakes a paused cluster and waits for it.
  - Instead of M(community.postgresql.postgresql_user), which needs a connection to the database;
    the network has no way in.
options:
  name:
    description: Name of the user; not the master user, whose password would end.
    type: str
    required: true
  cluster_arn:
    description: ARN of the Aurora cluster. Its Data API must be on.
    type: str
    required: true
  secret_arn:
    description: ARN of the secret with the master user's name and password.
    type: str
    required: true
  database:
    description: The database that is migrated.
    type: str
    required: true
extends_documentation_fragment:
  - migrations.aws.converge
"""

EXAMPLES = r"""
- name: Let the runner log in through IAM
  migrations.aws.database_user:
    name: migrator
    cluster_arn: "{{ database_arn }}"
    secret_arn: "{{ database_secret_arn }}"
    database: shop
"""

RETURN = r"""
statements:
  description: The SQL that was sent, or would be in check mode.
  returned: always
  type: list
  elements: str
"""

SPEC = {
    "name": {"type": "str", "required": True},
    "cluster_arn": {"type": "str", "required": True},
    "secret_arn": {"type": "str", "required": True},
    "database": {"type": "str", "required": True},
}
# A cluster that paused answers so until it is awake: some 15 seconds, over 30 after a day.
WAKING = ("DatabaseResumingException", "DatabaseUnavailableException")
WAKING_ATTEMPTS = 20  # about two minutes
# What can be wanted of a name without quoting surprises; PostgreSQL's longest name is 63 bytes.
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

DESCRIBE = """
select r.rolcanlogin,
       has_database_privilege(r.oid, current_database(), 'create'),
       has_schema_privilege(r.oid, 'public', 'create')
           and has_schema_privilege(r.oid, 'public', 'usage'),
       exists (select from pg_auth_members m join pg_roles g on g.oid = m.roleid
               where m.member = r.oid and g.rolname = 'rds_iam'),
       r.rolname = current_user or r.rolsuper or r.rolcreaterole,
       coalesce((select not pg_has_role(r.oid, c.relowner, 'usage') from pg_class c
                 where c.oid = to_regclass('public.schema_version')), false)
from pg_roles r where r.rolname = :name
"""
# The role's abilities in the order of DESCRIBE's first columns, and the SQL that gives them.
# Tokens come last: whoever has all the rest is not locked out by an interruption.
ABILITIES = {
    "log in": "alter role {user} login",
    "create in the database": "grant create on database {database} to {user}",
    "create in the schema public": "grant usage, create on schema public to {user}",
    "log in with tokens": "grant rds_iam to {user}",
}
HAND_OVER = (
    "begin; grant {user} to current_user; reassign owned by current_user to {user}; "
    "revoke {user} from current_user; commit;"
)


class User:
    """The user, as the catalog has it."""

    def __init__(self, run: Converge) -> None:
        self.run, self.p = run, run.params
        self.api = run.client("rds-data")
        rows = self._execute(DESCRIBE, name=self.p["name"])["records"]
        self.values = [next(iter(field.values())) for field in rows[0]] if rows else []
        self.able = dict(zip(ABILITIES, self.values, strict=False))

    def _execute(self, sql: str, **parameters: str) -> Document:
        """Run one statement as the master user, waiting for a cluster that wakes up."""
        request: dict[str, Any] = {
            "resourceArn": self.p["cluster_arn"],
            "secretArn": self.p["secret_arn"],
            "database": self.p["database"],
            "sql": sql,
            "parameters": [
                {"name": name, "value": {"stringValue": value}}
                for name, value in parameters.items()
            ],
        }
        return self.run.call_when_ready(
            self.api.execute_statement, WAKING, attempts=WAKING_ATTEMPTS, **request
        )

    def refusal(self) -> str:
        """Return why this user cannot be the one that migrates; empty where it can."""
        name = self.p["name"]
        *_, powerful, foreign = self.values or [False, False]
        if powerful:
            return (
                f"'{name}' is the master user or one that makes users: tokens would end its "
                "password. Name another user, which is made if it does not exist."
            )
        if foreign:
            sql = HAND_OVER.format(user=quoted(name))
            return (
                f"The migrations' history belongs to another user than '{name}'. As that user, "
                f"through playbooks/connect.yml, hand over what it owns: {sql}"
            )
        return ""

    def ensure(self) -> list[str]:
        """Send what is missing; return the statements."""
        names = {"user": quoted(self.p["name"]), "database": quoted(self.p["database"])}
        missing = [ability for ability in ABILITIES if not self.able.get(ability)]
        statements = [ABILITIES[ability].format(**names) for ability in missing]
        if not self.values:
            statements.insert(0, "create role {user}".format(**names))
        self.run.before = {"can": [a for a in ABILITIES if a not in missing]}
        self.run.after = {"can": list(ABILITIES)}
        for statement in statements:
            self.run.changed = True
            if not self.run.module.check_mode:
                self._execute(statement)
        return statements


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    name = run.params["name"]
    if not NAME.fullmatch(name):
        run.module.fail_json(
            msg=f"'{name}' is no name for a user: 1 to 63 of a-z, 0-9 and _, not a digit first"
        )
    user = User(run)
    if refusal := user.refusal():
        run.module.fail_json(msg=refusal)
    run.exit(statements=user.ensure())


if __name__ == "__main__":
    main()
