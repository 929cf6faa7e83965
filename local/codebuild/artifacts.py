"""The bucket by which a pipeline hands sources to its builds, each as the role that it has on AWS.

Each role is asked for what AWS documents for it: CodePipeline User Guide, "Manage the CodePipeline
service role"; CodeBuild User Guide, "Allow CodeBuild to interact with other AWS services" (the
statement on the pipeline's bucket).
"""

import uuid
from typing import Any, NamedTuple

from local.codebuild.source import Source


class Artifact(NamedTuple):
    """An object of the pipeline's bucket."""

    bucket: str
    key: str


def hand_over(s3: Any, source: Source, *, bucket: str, pipeline: str, name: str) -> Artifact:
    """Put a source into the pipeline's bucket, as the pipeline's role.

    Raises:
        botocore.exceptions.ClientError: the role may not.

    """
    _look(s3, bucket)
    s3.get_bucket_versioning(Bucket=bucket)
    # CodePipeline takes so many characters of each name.
    key = f"{pipeline[:20]}/{name[:10]}/{uuid.uuid4().hex[:7]}"
    s3.put_object(Bucket=bucket, Key=key, Body=source.archive)
    return Artifact(bucket, key)


def fetch(s3: Any, artifact: Artifact) -> Source:
    """Fetch a source from the bucket, as the role of a build: the phase DOWNLOAD_SOURCE.

    Raises:
        botocore.exceptions.ClientError: the role may not.

    """
    _look(s3, artifact.bucket)
    found = s3.get_object(Bucket=artifact.bucket, Key=artifact.key)
    source = Source(found["Body"].read(), f"{artifact.bucket}/{artifact.key}")
    # No document says whether CodeBuild asks for the object or for its version: it may need either.
    s3.head_object(
        Bucket=artifact.bucket, Key=artifact.key, VersionId=found.get("VersionId", "null")
    )
    return source


def _look(s3: Any, bucket: str) -> None:
    s3.get_bucket_acl(Bucket=bucket)
    s3.get_bucket_location(Bucket=bucket)
