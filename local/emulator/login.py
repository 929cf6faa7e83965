"""IAM database authentication, as RDS has it: members of `rds_iam` log in with tokens.

A token is a presigned request `rds-db:connect`. It is good if it was signed for this endpoint and
user, by credentials that are known and may connect, in the last 15 minutes.
"""

from typing import Any

import psycopg2

from local.emulator.patches import module
from local.state import REGION
from runner.embedded import Server

evaluator = module("ministack.core.iam_evaluator")
rds = module("ministack.services.rds")
responses = module("ministack.core.responses")
tokens = module("ministack.core.rds_iam")

_ACCOUNT_LENGTH = 12
# As `+rds_iam` in RDS's pg_hba.conf counts members: however indirect, and though a membership lets
# them neither inherit nor act as the role (PostgreSQL's documentation of pg_hba.conf, "direct or
# indirect members"). What only administers rds_iam directly is our stand-in for RDS's own way of
# letting the master user grant it.
_MEMBERS = """
    with recursive groups (id) as (
        select m.roleid from pg_auth_members m join pg_roles r on r.oid = m.member
            where r.rolname = %s and not r.rolsuper
            and (m.roleid <> 'rds_iam'::regrole or m.inherit_option or m.set_option)
        union
        select m.roleid from pg_auth_members m join groups on m.member = groups.id
    )
    select from groups where id = 'rds_iam'::regrole
"""


class IamLogin:
    """Decides about the logins to one emulated database."""

    def __init__(self, name: str, port: int, server: Server) -> None:
        """Decide for the database called <account>-<identifier> that listens on `port`."""
        self._account = name[:_ACCOUNT_LENGTH]
        self._identifier = name[_ACCOUNT_LENGTH + 1 :]
        self._port = port
        self._server = server

    def wants_token(self, user: str) -> bool:
        """Return whether the user belongs to rds_iam, with which passwords end."""
        try:
            connection = psycopg2.connect(self._server.url(), connect_timeout=10)
        except psycopg2.OperationalError:
            return False  # whoever logs in hears the server's own reason
        try:
            with connection.cursor() as cursor:
                cursor.execute(_MEMBERS, (user,))
                return bool(cursor.rowcount)
        finally:
            connection.close()

    def accepts(self, user: str, token: str) -> bool:
        """Return whether the token is genuine and who signed it may connect as this user."""
        found = self._find()
        if not found.get("IAMDatabaseAuthenticationEnabled"):
            return False
        with responses.request_scope(self._account, REGION):
            verified = tokens.verify_rds_iam_token(
                token,
                hostname="localhost",
                port=self._port,
                db_user=user,
                region=REGION,
                account_id=self._account,
            )
            if isinstance(verified, tokens.RdsIamTokenError):
                return False
            resource = found.get("DbClusterResourceId") or found["DbiResourceId"]
            return self._allowed(verified.access_key_id, f"{resource}/{user}")

    def _find(self) -> dict[str, Any]:
        """Return the cluster, or the instance that has none."""
        for store in (rds._clusters, rds._instances):  # noqa: SLF001
            if found := store.get_scoped(self._account, REGION, self._identifier):
                return dict(found)
        return {}

    def _allowed(self, access_key: str, who: str) -> bool:
        principal = evaluator.resolve_principal(access_key, self._account)
        if isinstance(principal, evaluator.AuthError):
            return False
        if principal.policies is None:  # an account's root
            return True
        context = evaluator.EvalContext(
            principal_arn=principal.arn,
            principal_type=principal.type,
            principal_account=self._account,
            action="rds-db:connect",
            resource_arn=f"arn:aws:rds-db:{REGION}:{self._account}:dbuser:{who}",
            region=REGION,
            principal_keys=principal.keys,
        )
        decision = evaluator.evaluate(context, principal.policies, *principal.limits).decision
        return bool(decision == "Allow")
