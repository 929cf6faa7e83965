"""Where signed packages are, and by which names an environment's profile and configuration go."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge, Document

PLATFORM = "AWSLambda-SHA384-ECDSA"


def folder(sha256: str) -> str:
    """Return where the bucket has what was signed of a package, by the package's own hash.

    Parameters:
        sha256: of the package as it was built, in base64. What is signed has other bytes each time.
    """
    return f"signed/{base64.b64decode(sha256).hex()}/"


def find_signed(run: Converge, bucket: str, sha256: str) -> str | None:
    """Return the key of the newest signature of a package, None where nobody has signed it."""
    found = run.read(run.client("s3").list_objects_v2, Bucket=bucket, Prefix=folder(sha256)) or {}
    newest = max(found.get("Contents", []), key=lambda one: one["LastModified"], default=None)
    return str(newest["Key"]) if newest else None


def base_name(name: str) -> str:
    """Return a name in the letters that Signer takes."""
    return re.sub("[^a-zA-Z0-9_]", "_", name)


def find_profiles(run: Converge, name: str) -> list[Document]:
    """Return all profiles of a name, those that were cancelled as well: they keep their names."""
    ours = re.compile(rf"{base_name(name)}(_[0-9]+)?")
    asked: dict[str, Any] = {"platformId": PLATFORM, "includeCanceled": True}
    found = _pages(run, run.client("signer").list_signing_profiles, "profiles", "nextToken", asked)
    return [profile for profile in found if ours.fullmatch(profile["profileName"])]


def find_active(profiles: list[Document]) -> Document | None:
    """Return the profile that signs."""
    return next((one for one in profiles if one["status"] == "Active"), None)


def find_config(run: Converge, name: str) -> Document | None:
    """Return the code signing configuration of a name, which its description is."""
    call, key = run.client("lambda").list_code_signing_configs, "CodeSigningConfigs"
    found = _pages(run, call, key, "NextMarker", {}, "Marker")
    return next((one for one in found if one.get("Description") == name), None)


def _pages(  # noqa: PLR0917 (AWS's own names of what is the same)
    run: Converge, call: Any, key: str, token: str, asked: Document, next_token: str = ""
) -> Iterator[Document]:
    while True:
        answer = run.read(call, **asked) or {}
        yield from answer.get(key, [])
        if not answer.get(token):
            return
        asked = {**asked, next_token or token: answer[token]}
