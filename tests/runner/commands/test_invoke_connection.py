"""The connection on which an answer is awaited for up to 15 minutes, as the kernel sees it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from runner.commands.invoke import invoke
from tests.runner.report import documents

KEEPALIVE = "02"  # of the timers in /proc/net/tcp
JIFFIES = 100  # a second, as /proc counts


class Lambda(BaseHTTPRequestHandler):
    """Answer with a result, and note which timer the caller's socket waits for meanwhile."""

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.timers.append(timer(self.client_address[1], self.server.server_port))
        body = json.dumps(documents.document(run_id=event["run_id"])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def timer(local: int, remote: int) -> tuple[str, float]:
    """Return which timer runs for a connection of this machine, and in how many seconds it ends."""
    ends = f"0100007F:{local:04X}", f"0100007F:{remote:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1], fields[2]) == ends:
            kind, _, left = fields[5].partition(":")
            return kind, int(left, 16) / JIFFIES
    raise AssertionError(ends)


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Lambda) as listening:
        listening.timers = []
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def test_a_waiting_connection_gives_signs_of_life_before_a_gateway_forgets_it(
    server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    invoke("f", run_id="r", command="migrate", options={}, progress=print)
    ((kind, seconds),) = server.timers
    assert kind == KEEPALIVE
    assert 50 < seconds <= 60
