"""Temporary credentials of a service role, handed out as CodeBuild hands them to its container."""

import datetime as dt
import http.server
import json
import secrets
import sys
import threading
from collections.abc import Callable
from typing import Any, Self

_RENEW_BEFORE = dt.timedelta(minutes=10)
Assume = Callable[[], dict[str, Any]]


class CredentialsEndpoint:
    """A loopback server for AWS_CONTAINER_CREDENTIALS_FULL_URI, open while a build runs."""

    def __init__(self, assume: Assume) -> None:
        """Serve what `assume` returns: the Credentials of an sts:AssumeRole answer."""
        token = secrets.token_urlsafe(32)
        path = f"/v2/credentials/{secrets.token_hex(16)}"
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), _handler(path, token, _renewing(assume))
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.environment = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": (
                f"http://127.0.0.1:{self._server.server_address[1]}{path}"
            ),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _renewing(assume: Assume) -> Assume:
    """Assume the role again shortly before its credentials end."""
    lock = threading.Lock()
    held: list[dict[str, Any]] = []

    def current() -> dict[str, Any]:
        with lock:
            soon = dt.datetime.now(dt.UTC) + _RENEW_BEFORE
            if not held or held[0]["Expiration"] < soon:
                held[:] = [assume()]
            return held[0]

    return current


def _handler(path: str, token: str, current: Assume) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            if self.path != path or not secrets.compare_digest(given, token):
                self.send_error(http.HTTPStatus.FORBIDDEN)
                return
            try:
                credentials = current()
            except Exception as error:  # noqa: BLE001 (whatever it is, the build must see it)
                self.send_error(http.HTTPStatus.INTERNAL_SERVER_ERROR, str(error)[:200])
                sys.stderr.write(f"[build] no credentials for the service role: {error}\n")
                return
            body = json.dumps(
                {
                    "AccessKeyId": credentials["AccessKeyId"],
                    "SecretAccessKey": credentials["SecretAccessKey"],
                    "Token": credentials["SessionToken"],
                    "Expiration": credentials["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            ).encode()
            self.send_response(http.HTTPStatus.OK)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Keep quiet: paths are half of the secret."""

    return Handler
