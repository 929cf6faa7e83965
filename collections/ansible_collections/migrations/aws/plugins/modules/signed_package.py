#!/usr/bin/python
"""Ansible module: a package in S3 that AWS Signer has signed."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge, Document
from ansible_collections.migrations.aws.plugins.module_utils.signing import (
    find_active,
    find_profiles,
    find_signed,
    folder,
)

DOCUMENTATION = r"""
module: signed_package
short_description: Ensure that a package is signed
description:
  - Puts the package into a bucket that keeps versions, and has AWS Signer sign that version.
    What is signed is in the same bucket, below a name that is the package's own hash.
  - A package that is signed already is left alone.
  - No module of the AWS collections knows AWS Signer.
options:
  package:
    description: Path of the zip.
    type: path
    required: true
  sha256:
    description: The zip's SHA-256 in base64, as M(migrations.aws.lambda_zip) returns it.
    type: str
    required: true
  bucket:
    description: The bucket, which keeps versions.
    type: str
    required: true
  name:
    description: The name that M(migrations.aws.code_signing) was given.
    type: str
    required: true
extends_documentation_fragment:
  - migrations.aws.converge
"""

EXAMPLES = r"""
- name: Have the package signed
  migrations.aws.signed_package:
    package: "{{ zip.path }}"
    sha256: "{{ zip.sha256 }}"
    bucket: shop-code
    name: shop-dev
"""

RETURN = r"""
key:
  description: The signed package's name in the bucket; empty where check mode would sign.
  returned: always
  type: str
"""

SPEC = {
    "package": {"type": "path", "required": True},
    "sha256": {"type": "str", "required": True},
    "bucket": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
}


def sign(run: Converge) -> str:
    """Sign the package and return the key of what is signed."""
    p, signer = run.params, run.client("signer")
    profile = find_active(find_profiles(run, p["name"]))
    if profile is None:
        run.module.fail_json(
            msg=f"There is no signing profile '{p['name']}'. An administrator makes it: "
            "ansible-playbook playbooks/bootstrap.yml, with runner_signed: true in the inventory"
        )
        raise AssertionError
    run.after["signed"] = folder(p["sha256"])
    place = {"Bucket": p["bucket"], "Key": f"un{folder(p['sha256']).rstrip('/')}.zip"}
    data = b"" if run.module.check_mode else Path(p["package"]).read_bytes()
    put = run.send(run.client("s3").put_object, **place, Body=data)
    job = run.send(
        signer.start_signing_job,
        source={"s3": _named(place, version=put.get("VersionId", ""))},
        destination={"s3": {"bucketName": p["bucket"], "prefix": folder(p["sha256"])}},
        profileName=profile["profileName"],
    )
    if run.module.check_mode:
        return ""
    done = run.poll(
        signer.describe_signing_job,
        lambda answer: answer["status"] != "InProgress",
        jobId=job["jobId"],
    )
    if done["status"] != "Succeeded":
        run.module.fail_json(msg=f"AWS Signer has not signed it: {done.get('statusReason')}")
    return str(done["signedObject"]["s3"]["key"])


def _named(place: Document, **more: str) -> Document:
    return {"bucketName": place["Bucket"], "key": place["Key"], **more}


def main() -> None:
    """Run the module."""
    run = Converge(SPEC)
    run.exit(key=find_signed(run, run.params["bucket"], run.params["sha256"]) or sign(run))


if __name__ == "__main__":
    main()
