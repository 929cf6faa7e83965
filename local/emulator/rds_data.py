"""Make ministack's Data API run its statements in the PostgreSQL behind the emulated cluster."""

# ruff: noqa: SLF001 (patching private names is this module's purpose)

import importlib
import json
from typing import Any

# ministack has no type information.
rds_data: Any = importlib.import_module("ministack.services.rds_data")


def patch() -> None:
    """Know the real server, and read the secret on behalf of the caller."""
    rds_data._has_real_endpoint = lambda target: "Endpoint" in target
    _patch_secret()


def _patch_secret() -> None:
    """Ask for secretsmanager:GetSecretValue too, which the Data API does as its caller."""
    app: Any = importlib.import_module("ministack.app")
    original = app._enforce_rds_data

    def enforce(  # noqa: PLR0917 (ministack's signature)
        method: str, path: str, headers: Any, body: bytes, parameters: Any, request_id: str
    ) -> Any:
        if denied := original(method, path, headers, body, parameters, request_id):
            return denied
        secret = json.loads(body or b"{}").get("secretArn", "")
        return app._enforce_data_plane(
            "secretsmanager",
            "secretsmanager:GetSecretValue",
            headers,
            parameters,
            request_id,
            resource_arn=secret,
            named_resource=secret,
        )

    app._enforce_rds_data = enforce
