"""Make ministack's Data API run its statements in the PostgreSQL behind the emulated cluster."""

# ruff: noqa: SLF001 (patching private names is this module's purpose)

import json
from typing import Any

from local.emulator.patches import module, replace, wrap

app = module("ministack.app")
rds_data = module("ministack.services.rds_data")


def patch() -> None:
    """Know the real server, and read the secret on behalf of the caller."""
    replace(rds_data, "_has_real_endpoint", lambda target: "Endpoint" in target)
    wrap(app, "_enforce_rds_data", _with_secret)


def _with_secret(original: Any) -> Any:
    """Ask for secretsmanager:GetSecretValue too, which the Data API does as its caller."""

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

    return enforce
