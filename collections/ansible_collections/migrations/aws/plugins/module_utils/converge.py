"""What the modules of this collection share: find, compare, send the difference, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

try:
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError
except ImportError:  # AnsibleAWSModule reports the missing library with its fix
    BotoCoreError = ClientError = WaiterError = Exception  # type: ignore[assignment, misc]

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

Document = dict[str, Any]

# Options that most modules have; doc_fragments/converge.py documents them.
STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}
TAGS = {"type": "dict", "default": {}}


class Converge:
    """One run of a module: what it found, what it leaves behind, and whether it sent anything.

    In check mode nothing is sent; `before` and `after` tell the truth all the same, because a
    module fills them from what it found and what it was asked for.
    """

    def __init__(self, spec: Document, **options: Any) -> None:
        self.module = AnsibleAWSModule(argument_spec=spec, supports_check_mode=True, **options)
        self.params: Document = self.module.params
        self.changed = False
        self.before: Document = {}
        self.after: Document = {}

    def client(self, service: str) -> Any:
        """Return a boto3 client that has the task's credentials and region."""
        return self.module.client(service)

    def read(
        self, call: Callable[..., Document], missing: Iterable[str] = (), **request: Any
    ) -> Document | None:
        """Return the answer to a request that changes nothing.

        None if AWS answers with one of the error codes in `missing`; any other error ends
        the module.
        """
        try:
            return call(**request)
        except (BotoCoreError, ClientError) as exc:
            if error_code(exc) in missing:
                return None
            self.fail(exc, call)

    def send(self, call: Callable[..., Document], **request: Any) -> Document:
        """Send a change and note it; in check mode only note it and return an empty answer."""
        self.changed = True
        if self.module.check_mode:
            return {}
        try:
            return call(**request)
        except (BotoCoreError, ClientError) as exc:
            self.fail(exc, call)

    def call_when_ready(
        self,
        call: Callable[..., Document],
        codes: Iterable[str],
        texts: Iterable[str] = ("",),
        *,
        attempts: int,
        **request: Any,
    ) -> Document:
        """Return the answer to a request that AWS refuses until something is ready or known.

        A refusal with one of the codes and of the texts in its message is tried again, with
        growing pauses of up to 8 s, for at most `attempts` times. Sent in check mode too.
        """
        for attempt in range(attempts):
            try:
                return call(**request)
            except (BotoCoreError, ClientError) as exc:
                passing = error_code(exc) in codes and any(text in str(exc) for text in texts)
                if not passing or attempt == attempts - 1:
                    self.fail(exc, call)
                time.sleep(min(8, 2**attempt))
        raise AssertionError

    def send_when_ready(
        self,
        call: Callable[..., Document],
        codes: Iterable[str],
        texts: Iterable[str],
        attempts: int,
        **request: Any,
    ) -> Document:
        """Send a change as `call_when_ready` does and note it; in check mode only note it."""
        self.changed = True
        if self.module.check_mode:
            return {}
        return self.call_when_ready(call, codes, texts, attempts=attempts, **request)

    def wait(
        self, client: Any, waiter: str, delay: int = 2, timeout: int = 1800, **request: Any
    ) -> None:
        """Poll every `delay` seconds, for at most `timeout`, until the waiter is satisfied."""
        if self.module.check_mode:
            return
        try:
            client.get_waiter(waiter).wait(
                WaiterConfig={"Delay": delay, "MaxAttempts": max(1, timeout // delay)}, **request
            )
        except (BotoCoreError, ClientError, WaiterError) as exc:
            self.module.fail_json_aws(exc, msg=f"Waiting for {waiter.replace('_', ' ')} failed")

    def poll(
        self,
        call: Callable[..., Document],
        done: Callable[[Document], bool],
        delay: int = 2,
        timeout: int = 1800,
        **request: Any,
    ) -> Document:
        """Ask every `delay` seconds, for at most `timeout`, until the answer is `done`."""
        until = time.monotonic() + timeout
        while True:
            answer = self.read(call, **request) or {}
            if done(answer):
                return answer
            if time.monotonic() > until:
                self.module.fail_json(msg=f"{call.__name__}: still not done after {timeout} s")
            time.sleep(delay)

    def fail(self, exc: Exception, call: Callable[..., Document]) -> NoReturn:
        """End the module with AWS's own words and the name of the operation."""
        self.module.fail_json_aws(exc, msg=f"{getattr(call, '__name__', 'request')} failed")
        raise AssertionError from exc

    def exit(self, **result: Any) -> NoReturn:
        """Report the result, with the difference for --diff."""
        self.module.exit_json(
            changed=self.changed, diff={"before": self.before, "after": self.after}, **result
        )
        raise AssertionError


def error_code(exc: Exception) -> str:
    """Return AWS's error code, or an empty string for an error that never reached AWS."""
    return str(getattr(exc, "response", {}).get("Error", {}).get("Code", ""))


def difference(current: Document, wanted: Document) -> Document:
    """Return the entries of `wanted` that `current` does not hold; None is no opinion."""
    return {k: v for k, v in wanted.items() if v is not None and not matches(current.get(k), v)}


class Owned(dict[str, Any]):
    """A part of a document whose keys are all ours: any other one in it is to go."""


def owned(value: Any) -> Any:
    """Return a value in which every dictionary is owned."""
    if isinstance(value, dict):
        return Owned({k: owned(v) for k, v in value.items()})
    return [owned(v) for v in value] if isinstance(value, list) else value


def matches(current: Any, wanted: Any) -> bool:
    """Tell whether AWS's value holds all that is wanted, and no more where the part is owned.

    Elsewhere AWS may know more keys than we name: its own defaults.
    """
    if isinstance(wanted, dict):
        return (
            isinstance(current, dict)
            and all(matches(current.get(k), v) for k, v in wanted.items())
            and not (isinstance(wanted, Owned) and current.keys() - wanted.keys())
        )
    if isinstance(wanted, list):
        return (
            isinstance(current, list)
            and len(current) == len(wanted)
            and all(matches(c, w) for c, w in zip(current, wanted, strict=True))
        )
    return bool(current == wanted)


def tag_list(tags: dict[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Return tags as the list that most AWS interfaces take, in a stable order."""
    return [{key: name, value: tags[name]} for name in sorted(tags)]


def tag_dict(
    tags: Iterable[dict[str, str]], key: str = "Key", value: str = "Value"
) -> dict[str, str]:
    """Return a list of tags as a dictionary."""
    return {tag[key]: tag[value] for tag in tags}


def without_empty(document: Document) -> Document:
    """Return the request without the parameters that have no value."""
    return {k: v for k, v in document.items() if v is not None}
