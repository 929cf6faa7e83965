"""What a login needs from AWS: the database's secret, or a token of IAM authentication.

Each call has a session of its own: boto3 keeps the credentials that its default one found first.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping

from runner.errors import ConfigurationError, Unreachable, extra


def secret(arn: str) -> dict[str, str]:
    """Fetch user and password from Secrets Manager, anew each time: AWS rotates them.

    Raises:
        Unreachable: Secrets Manager refuses or does not answer.
        ConfigurationError: the secret is none of a database's.
    """
    with extra("aws", what="a database secret"):
        import boto3  # noqa: PLC0415 - half a second of import that only AWS needs
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    # An ARN says its region; a bare name means the environment's.
    region = arn.split(":")[3] if arn.count(":") > 5 else None  # noqa: PLR2004
    try:
        client = boto3.Session().client("secretsmanager", region_name=region)
        answer = client.get_secret_value(SecretId=arn)
        body = json.loads(answer["SecretString"])
        return {"user": body["username"], "password": body["password"]}
    except (BotoCoreError, ClientError) as error:
        raise Unreachable(
            f"the database secret cannot be read: {error}",
            fix=f"check that this role may call secretsmanager:GetSecretValue on {arn}",
        ) from error
    except (KeyError, ValueError):
        # A traceback of the parser's would show the secret.
        raise ConfigurationError(
            f"the secret {arn} is not JSON with username and password"
        ) from None


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
        ConfigurationError: the parameters name no host or no user, or several.
    """
    with extra("aws", what="IAM authentication"):
        import boto3  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        host, user = parameters["host"], parameters["user"]
        port = int(parameters.get("port", "5432"))
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            "IAM authentication needs one host, its port and a user: a token is made for those"
        ) from error
    try:
        token: str = (
            boto3.Session()
            .client("rds")
            .generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)
        )
    except BotoCoreError as error:
        raise ConfigurationError(
            f"a token of IAM authentication cannot be made: {error}",
            fix="set AWS_REGION, and credentials of a role that may rds-db:connect",
        ) from error
    return token
