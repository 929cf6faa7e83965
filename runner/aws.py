"""Calls of AWS: what hinders one is missing here, or refused over there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runner.errors import ConfigurationError, RunnerError, Unreachable, extra


@contextmanager
def calling(what: str, *, may: str) -> Iterator[Any]:
    """Give boto3, and tell what hinders a call of AWS that is made inside.

    Parameters:
        what: what is not possible then, for a person.
        may: the right that the call takes.

    Raises:
        ConfigurationError: region, credentials or settings are missing or wrong, or boto3 is.
        Unreachable: AWS refuses, or does not answer.
    """
    with extra("aws", what="a call of AWS"):
        import boto3  # noqa: PLC0415 - half a second of import that only AWS needs
    try:
        yield boto3
    except failures() as error:
        raise hindrance(error, what, may=may) from error


def failures() -> tuple[type[Exception], ...]:
    """Return what boto3 raises: a wrong setting is a ValueError, a token's missing file OSError."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    return BotoCoreError, ClientError, ValueError, OSError


def went_out(error: Exception) -> bool:
    """Return whether a call that failed had left this machine, or tried to."""
    from botocore.exceptions import (  # noqa: PLC0415
        ClientError,
        ConnectionError,  # noqa: A004 - theirs is none of Python's
        HTTPClientError,
        IncompleteReadError,
    )

    over_there = (ClientError, ConnectionError, HTTPClientError, IncompleteReadError)
    return isinstance(error, over_there)


def hindrance(error: Exception, what: str, *, may: str) -> RunnerError:
    """Return the error for a call that failed by one of `failures`; parameters as of `calling`."""
    if went_out(error):
        return Unreachable(
            f"{what}: {error}", fix=f"let this role {may}, and its network reach AWS in that region"
        )
    return ConfigurationError(
        f"{what}: {error}", fix=f"set AWS_REGION, and credentials of a role that may {may}"
    )
