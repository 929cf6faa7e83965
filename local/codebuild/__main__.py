"""A build of the emulated CodeBuild, as a process of its own: python -m local.codebuild JOB.

JOB is a file with the project's buildspec, the build's variables, and as what it acts. What it says
is the build's log, and its exit status whether the build succeeded.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import boto3

from local.codebuild.buildspec import parse
from local.codebuild.credentials import CredentialsEndpoint
from local.codebuild.shell import Build


def main() -> int:
    """Run the job in a folder of its own, with nothing of a source."""
    path = Path(sys.argv[1])
    job = json.loads(path.read_text())
    sts = boto3.client(
        "sts",
        endpoint_url=job["endpoint"],
        region_name=job["region"],
        aws_access_key_id=job["account"],
        aws_secret_access_key="emulated",  # noqa: S106 (an account's root, to the emulator)
    )

    def assume() -> dict[str, Any]:
        taken: dict[str, Any] = sts.assume_role(
            RoleArn=job["role"],
            RoleSessionName="AWSCodeBuild",
            ExternalId=job["project"],  # the emulator takes it for aws:SourceArn
        )["Credentials"]
        return taken

    with (
        tempfile.TemporaryDirectory(prefix="build-", dir=path.parent) as folder,
        CredentialsEndpoint(assume) as credentials,
    ):
        image = str(Path(__file__).with_name("image"))
        python = str(Path(sys.executable).parent)
        environment = {
            **job["environment"],
            **credentials.environment,
            "PATH": ":".join((image, python, job["environment"]["PATH"])),
            "CODEBUILD_SRC_DIR": folder,
            "TMPDIR": folder,
        }
        spec = parse(job["buildspec"], "the project's buildspec")
        return 0 if Build(spec, Path(folder), environment).run().succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
