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
  - The master user, who makes it, becomes no member of it, for to RDS a member of a member of
    C(rds_iam) logs in with tokens too, and its password would end.
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
select r.oid is not null,
       coalesce(r.rolcanlogin, false),
       coalesce(has_database_privilege(r.oid, current_database(), 'create'), false),
       coalesce(has_schema_privilege(r.oid, 'public', 'create')
           and has_schema_privilege(r.oid, 'public', 'usage'), false),
       exists (select from pg_auth_members m join pg_roles g on g.oid = m.roleid
               where m.member = r.oid and g.rolname = 'rds_iam'),
       coalesce(r.rolname = current_user or r.rolsuper or r.rolcreaterole, false),
       coalesce((select not coalesce(pg_has_role(r.oid, c.relowner, 'usage'), false)
                 from pg_class c where c.oid = to_regclass('public.schema_version')), false),
       coalesce((select string_agg(m.rolname, ', ' order by m.rolname) from pg_roles m
                 where m.rolname !~ '^(rds|pg_)' and m.rolname <> current_user and not m.rolsuper
                     and pg_has_role(current_user, m.oid, 'member')
                     and (m.oid = r.oid or pg_has_role(m.oid, 'rds_iam', 'member'))), ''),
       cast(current_setting('server_version_num') as integer) >= 160000
from (values (true)) one (one) left join pg_roles r on r.rolname = :name
"""
# The role's abilities in the order of DESCRIBE's columns, and the SQL that gives them.
# Tokens come last: whoever has all the rest is not locked out by an interruption.
ABILITIES = {
    "log in": "alter role {user} login",
    "create in the database": "grant create on database {database} to {user}",
    "create in the schema public": "grant usage, create on schema public to {user}",
    "log in with tokens": "grant rds_iam to {user}",
}
# From PostgreSQL 16 on, who makes a role is its member for ever. To RDS each member of a member of
# rds_iam, however indirect, logs in with tokens, and the master user's password would end. So the
# user is made by a role that lives no longer than that.
MAKER_BEGINS = (
    "create role {maker} createrole; "
    "grant {maker} to current_user with set true, inherit false; "
    "set role {maker}; create role {user} login; "
)
MAKER_ENDS = "reset role; drop role {maker};"
MAKE = f"do $$ begin {MAKER_BEGINS}{MAKER_ENDS} end $$"
MAKE_BEFORE_16 = "create role {user} login"
HAND_OVER = (
    f"begin; {MAKER_BEGINS}grant {{user}} to session_user; reset role; "
    "reassign owned by current_user to {user}; "
    f"set role {{maker}}; revoke {{user}} from session_user; {MAKER_ENDS} commit;"
)
HAND_OVER_BEFORE_16 = (
    "begin; create role {user} login; grant {user} to current_user; "
    "reassign owned by current_user to {user}; revoke {user} from current_user; commit;"
)


class User:
    """The user, as the catalog has it."""

    def __init__(self, run: Converge) -> None:
        self.run, self.p = run, run.params
        self.api = run.client("rds-data")
        rows = self._execute(DESCRIBE, name=self.p["name"])["records"]
        exists, *able, powerful, foreign, binding, modern = (
            next(iter(field.values())) for field in rows[0]
        )
        self.exists, self.powerful, self.foreign = exists, powerful, foreign
        self.binding, self.modern = binding, modern
        self.able = dict(zip(ABILITIES, able, strict=True))
        self.names = {
            "user": quoted(self.p["name"]),
            "maker": quoted(f"maker_of_{self.p['name']}"),
            "database": quoted(self.p["database"]),
        }

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
        if self.powerful:
            return (
                f"'{name}' is the master user or one that makes users: tokens would end its "
                "password. Name another user, which is made if it does not exist."
            )
        if self.binding:
            return (
                f"The master user is a member of {self.binding}: as soon as one of these logs in "
                "with tokens, the master user's password ends. Drop it, or where it owns something "
                "name another user, which is made so that the master user is no member."
            )
        return self._foreign() if self.foreign else ""

    def _foreign(self) -> str:
        """Return how a user comes to a history that belongs to another one."""
        name = self.p["name"]
        said = f"The migrations' history belongs to another user than '{name}'. "
        if self.exists and self.modern:
            return (
                f"{said}'{name}' exists already, and from PostgreSQL 16 on nobody can hand over to "
                "it. Name a user that does not exist."
            )
        sql = (HAND_OVER if self.modern else HAND_OVER_BEFORE_16).format(**self.names)
        if self.exists:
            sql = sql.replace("create role {user} login; ".format(**self.names), "")
        return (
            f"{said}As the user to whom it belongs, through playbooks/connect.yml, make '{name}' "
            f"and hand over what it owns: {sql}"
        )

    def ensure(self) -> list[str]:
        """Send what is missing; return the statements."""
        missing = [ability for ability in ABILITIES if not self.able[ability]]
        templates = [ABILITIES[ability] for ability in missing]
        if not self.exists:
            templates[0] = MAKE if self.modern else MAKE_BEFORE_16  # who is made so may log in
        statements = [template.format(**self.names) for template in templates]
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
