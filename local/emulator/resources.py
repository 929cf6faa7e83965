"""How IAM's question about a request gets its resource: one place, for all who name resources."""

from collections.abc import Callable
from typing import Any, NamedTuple

from local.emulator.patches import Wrapper


class Request(NamedTuple):
    """What a resource can be told from."""

    service: str
    path: str
    body: Any
    parameters: Any
    region: str
    account: str

    @property
    def scope(self) -> str:
        """The part of an ARN between service and name."""
        return f"{self.region}:{self.account}"


def naming(name: Callable[[Request, str], str]) -> Wrapper:
    """Return a wrapper of ministack's extract_resource_arn.

    Args:
        name: is given the request and the ARN as known so far, and returns the ARN.

    """

    def wrapper(original: Any) -> Any:
        def extract(  # noqa: PLR0917 (ministack's signature)
            service: str,
            method: str,
            path: str,
            headers: Any,
            body: Any,
            query_params: Any,
            region: str = "",
            account_id: str = "",
            *rest: Any,
            **options: Any,
        ) -> str:
            about = (service, method, path, headers, body, query_params, region, account_id)
            arn: str = original(*about, *rest, **options)
            return name(Request(service, path, body, query_params, region, account_id), arn)

        return extract

    return wrapper
