"""What AWS asks IAM about a request beside the one question that ministack asks.

What a request says travels in the context of that question, under a name of its own, from where
the request is read to where IAM is asked.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Question(NamedTuple):
    """One question to IAM, as ministack puts it."""

    access_key: str
    action: str
    service: str
    region: str
    arn: str
    context: dict[str, Any]


Ask = Callable[[Question], Any]  # what it returns says why IAM denies; nothing is a yes
Wrapper = Callable[[Any], Any]


def telling(name: str, tell: Callable[[str, str, Any, Any], Any]) -> Wrapper:
    """Return what has ministack's reader of requests tell more, under a name of the context.

    Args:
        name: under which it travels.
        tell: makes it of a request's service, action, body and parameters.

    """

    def wrapper(original: Any) -> Any:
        def context(service: str, action: str, body: Any, parameters: Any) -> dict[str, Any]:
            found: dict[str, Any] = dict(original(service, action, body, parameters))
            if told := tell(service, action, body, parameters):
                found[name] = told
            return found

        return context

    return wrapper


def asking(name: str, decide: Callable[[Ask, Question, Any], Any]) -> Wrapper:
    """Return what asks IAM in place of ministack.

    Args:
        name: under which the context holds what was told of the request.
        decide: is given a way to ask, ministack's question and what was told, None if nothing.

    """

    def wrapper(original: Any) -> Any:
        def ask(question: Question) -> Any:
            return original(*question)

        def enforce(  # noqa: PLR0917 (ministack's signature)
            access_key: str,
            action: str,
            service: str,
            region: str,
            resource_arn: str = "*",
            service_context: dict[str, Any] | None = None,
        ) -> Any:
            context = dict(service_context or {})
            told = context.pop(name, None)
            question = Question(access_key, action, service, region, resource_arn, context)
            return decide(ask, question, told)

        return enforce

    return wrapper
