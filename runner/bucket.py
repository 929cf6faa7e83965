"""Data that is too large for an event: objects of an S3 bucket, named by their own checksum.

So whoever reads one knows that it is what its sender meant, whoever else may write there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runner.aws import calling
from runner.errors import ConfigurationError

# Seconds. A network without a way to S3 lets a connection wait.
_CONNECT_TIMEOUT = 5
_ATTEMPTS = 3


def put(bucket: str, data: bytes, *, region: str | None) -> str:
    """Write an object and return its name.

    Parameters:
        region: the bucket's; None means the environment's.

    Raises:
        Unreachable: S3 refuses or does not answer.
        ConfigurationError: there is no region, or there are no credentials.
    """
    name = hashlib.sha256(data).hexdigest()
    with _calling(f"s3:PutObject on {bucket}", region) as client:
        client.put_object(Bucket=bucket, Key=name, Body=data)
    return name


def get(bucket: str, name: str, *, most: int) -> bytes:
    """Return an object of this function's region.

    Parameters:
        name: as `put` returned it.
        most: bytes that it may have.

    Raises:
        Unreachable: S3 refuses or does not answer.
        ConfigurationError: it is larger, or not what its name says.
    """
    with _calling(f"s3:GetObject on {bucket}", None) as client:
        data: bytes = client.get_object(Bucket=bucket, Key=name)["Body"].read(most + 1)
    if len(data) > most or hashlib.sha256(data).hexdigest() != name:
        raise ConfigurationError(f"the object {name} of {bucket} is not what its name says")
    return data


@contextmanager
def _calling(what: str, region: str | None) -> Iterator[Any]:
    """Give a client of S3, and tell what hinders a call."""
    with calling("S3 does not let us pass what is too large for an event", may=what) as boto3:
        from botocore.config import Config  # noqa: PLC0415

        settings = Config(
            connect_timeout=_CONNECT_TIMEOUT, retries={"total_max_attempts": _ATTEMPTS}
        )
        yield boto3.Session().client("s3", region_name=region, config=settings)
