"""What a login needs from AWS: the database's secret, or a token of IAM authentication.

Each call has a session of its own: boto3 keeps the credentials that its default one found first.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping

from runner.aws import calling
from runner.errors import ConfigurationError


def secret(arn: str) -> dict[str, str]:
    """Fetch user and password from Secrets Manager, anew each time: AWS rotates them.

    Raises:
        Unreachable: Secrets Manager refuses or does not answer.
        ConfigurationError: AWS cannot be called, or the secret is none of a database's.
    """
    # An ARN says its region; a bare name means the environment's.
    region = arn.split(":")[3] if arn.count(":") > 5 else None  # noqa: PLR2004
    may = f"secretsmanager:GetSecretValue on {arn}"
    with calling("the database secret cannot be read", may=may) as boto3:
        client = boto3.Session().client("secretsmanager", region_name=region)
        answer = client.get_secret_value(SecretId=arn)
    match _body(answer.get("SecretString", "")):
        case {"username": str(user), "password": str(password)}:
            return {"user": user, "password": password}
    raise ConfigurationError(f"the secret {arn} is not JSON with username and password")


def _body(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # whose traceback would show the secret
        return None


def derived(password: str, user: str) -> str:
    """Return the password of a user that only who knows another user's can tell.

    Nothing has to keep it, every run comes to the same, and it is another one as soon as the
    first is rotated.
    """
    purpose = f"schema-migrations: login of {user}"
    return hmac.new(password.encode(), purpose.encode(), "sha256").hexdigest()


def token(parameters: Mapping[str, str]) -> str:
    """Make a token of IAM database authentication: local, no request, valid 15 minutes.

    Raises:
        ConfigurationError: the parameters name no host or no user, or several, or region or
            credentials are missing.
    """
    try:
        host, user = parameters["host"], parameters["user"]
        port = int(parameters.get("port", "5432"))
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            "IAM authentication needs one host, its port and a user: a token is made for those"
        ) from error
    with calling("a token of IAM authentication cannot be made", may="rds-db:connect") as boto3:
        token: str = (
            boto3.Session()
            .client("rds")
            .generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)
        )
    return token
