"""Members of rds_iam log in with tokens that the emulated AWS really checks."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import psycopg2
import pytest

from local.stack import Stack

ACCOUNT = "222233334444"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
        }
    ],
}
# So that who makes the user is no member of it.
MADE = (
    "create role maker createrole; grant maker to current_user with set true, inherit false; "
    "set role maker; create role migrator login; reset role; drop role maker;"
)


@pytest.fixture(scope="module")
def cluster(stack: Stack) -> Iterator[dict[str, Any]]:
    """Make a cluster with a user `migrator` that logs in with tokens."""
    rds = stack.client("rds", ACCOUNT)
    created: dict[str, Any] = rds.create_db_cluster(
        DBClusterIdentifier="tokens",
        Engine="aurora-postgresql",
        EngineVersion="16.11",
        MasterUsername="postgres",
        ManageMasterUserPassword=True,
        DatabaseName="shop",
        EnableIAMDatabaseAuthentication=True,
    )["DBCluster"]
    with session(stack, created, "postgres", password(stack, created)) as connection:
        connection.cursor().execute(f"{MADE} grant rds_iam to migrator")
    yield created
    rds.delete_db_cluster(DBClusterIdentifier="tokens", SkipFinalSnapshot=True)


def password(stack: Stack, cluster: dict[str, Any]) -> str:
    """Return the master user's password."""
    secrets = stack.client("secretsmanager", ACCOUNT)
    value = secrets.get_secret_value(SecretId=cluster["MasterUserSecret"]["SecretArn"])
    return str(json.loads(value["SecretString"])["password"])


class session:  # noqa: N801
    """A session as on AWS: by name, with verified TLS; committed and closed at the end."""

    def __init__(self, stack: Stack, cluster: dict[str, Any], user: str, secret: str) -> None:
        self.connection = psycopg2.connect(
            host=cluster["Endpoint"],
            port=cluster["Port"],
            user=user,
            password=secret,
            dbname="shop",
            sslmode="verify-full",
            sslrootcert=stack.state.authority,
        )

    def __enter__(self) -> Any:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.connection.commit()
        self.connection.close()


def signer(stack: Stack, **statement: Any) -> Any:
    """Return an RDS client that acts as a role with this policy."""
    iam, name = stack.client("iam", ACCOUNT), "signer"
    if not any(r["RoleName"] == name for r in iam.list_roles()["Roles"]):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    keys = stack.client("sts", ACCOUNT).assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}", RoleSessionName="test"
    )["Credentials"]
    return boto3.client(
        "rds",
        region_name="eu-central-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def connector(stack: Stack, cluster: dict[str, Any], user: str = "migrator") -> Any:
    """Return a client whose role may connect as this user."""
    scope = f"eu-central-1:{ACCOUNT}:dbuser:{cluster['DbClusterResourceId']}"
    return signer(
        stack,
        Effect="Allow",
        Action="rds-db:connect",
        Resource=f"arn:aws:rds-db:{scope}/{user}",
    )


def token(rds: Any, cluster: dict[str, Any], user: str = "migrator", host: str = "") -> str:
    """Return what the runner would make."""
    return str(
        rds.generate_db_auth_token(
            DBHostname=host or cluster["Endpoint"], Port=cluster["Port"], DBUsername=user
        )
    )


def test_a_token_lets_its_user_in(stack: Stack, cluster: dict[str, Any]) -> None:
    good = token(connector(stack, cluster), cluster)
    with session(stack, cluster, "migrator", good) as connection, connection.cursor() as cursor:
        cursor.execute("select current_user")
        assert cursor.fetchall() == [("migrator",)]


def test_the_master_user_keeps_his_password(stack: Stack, cluster: dict[str, Any]) -> None:
    with session(stack, cluster, "postgres", password(stack, cluster)) as connection:
        cursor = connection.cursor()
        cursor.execute("select current_user")
        assert cursor.fetchall() == [("postgres",)]


def test_who_makes_a_member_of_rds_iam_loses_the_password(
    stack: Stack, cluster: dict[str, Any]
) -> None:
    secret = password(stack, cluster)
    with session(stack, cluster, "postgres", secret) as connection:
        connection.cursor().execute("create role direct; grant rds_iam to direct")
    with pytest.raises(psycopg2.OperationalError, match="PAM authentication failed"):
        session(stack, cluster, "postgres", secret)
    good = token(connector(stack, cluster, "postgres"), cluster, user="postgres")
    with session(stack, cluster, "postgres", good) as connection:
        connection.cursor().execute("drop role direct")
    with session(stack, cluster, "postgres", secret):
        pass


@pytest.mark.parametrize("case", ["user", "host", "signature", "policy", "password"])
def test_a_bad_token_is_refused(stack: Stack, cluster: dict[str, Any], case: str) -> None:
    rds = connector(stack, cluster, "somebody" if case == "policy" else "migrator")
    bad = {
        "user": token(rds, cluster, user="postgres"),
        "host": token(rds, cluster, host="elsewhere"),
        "signature": token(rds, cluster)[:-1] + "g",
        "policy": token(rds, cluster),
        "password": "migrator",
    }[case]
    with pytest.raises(psycopg2.OperationalError, match="PAM authentication failed"):
        session(stack, cluster, "migrator", bad)
