"""Make moto's Service Quotas know more than VPC's, with what AWS gives a new account.

Names and values are AWS's, the codes of CodeBuild's quotas our own. AWS documents 1 as the
default of ARM/Small builds, and 10 concurrent executions as what new accounts may begin with.
"""

from typing import Any

from local.emulator.patches import module, replace

models = module("moto.servicequotas.models")

_ARM, _LINUX = (
    f"Concurrently running builds for {kind}/Small environment" for kind in ("ARM", "Linux")
)
_KNOWN = {
    "codebuild": {_ARM: ("L-00000A01", 1.0), _LINUX: ("L-00000A02", 1.0)},
    "lambda": {"Concurrent executions": ("L-B99A9384", 10.0)},
}


def patch() -> None:
    """Replace how quotas are listed and told."""
    replace(models, "ServiceQuotasBackend.list_aws_default_service_quotas", _listed)
    replace(models, "ServiceQuotasBackend.get_service_quota", _told)


def _listed(_: Any, service_code: str) -> list[dict[str, Any]]:
    if service_code == "vpc":
        return list(models.VPC_DEFAULT_QUOTAS)
    if service_code not in _KNOWN:
        raise models.NoSuchResource
    return [
        {"ServiceCode": service_code, "QuotaName": name, "QuotaCode": code, "Value": value}
        for name, (code, value) in _KNOWN[service_code].items()
    ]


def _told(backend: Any, service_code: str, quota_code: str) -> dict[str, Any]:
    for quota in _listed(backend, service_code):
        if quota["QuotaCode"] == quota_code:
            return quota
    raise models.NoSuchResource
