"""The module against a Data API that answers as a cluster in each state does."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.modules import harness
from tests.modules.harness import Outcome

ACCOUNT = "111122223333"
CLUSTER = f"arn:aws:rds:eu-central-1:{ACCOUNT}:cluster:shop"
SECRET = f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:shop"
# Of a user that exists and lacks nothing; before that, what makes one unfit, on PostgreSQL 16.
FIT: list[bool | str] = [False, False, "", True]
COMPLETE: list[bool | str] = [True, True, True, True, True, *FIT]
MISSING: list[bool | str] = [False, False, False, False, False]
MAKE = (
    'do $$ begin create role "maker_of_migrator" createrole; '
    'grant "maker_of_migrator" to current_user with set true, inherit false; '
    'set role "maker_of_migrator"; create role "migrator" login; '
    'reset role; drop role "maker_of_migrator"; end $$'
)
RESUMING = (400, {"__type": "DatabaseResumingException", "message": "is resuming after auto-pause"})


def row(*values: bool | str) -> tuple[int, dict[str, Any]]:
    """Return the answer with one row."""
    kinds = {bool: "booleanValue", str: "stringValue"}
    return 200, {"records": [[{kinds[type(value)]: value} for value in values]]}


NOBODY = row(*MISSING, *FIT)


@contextlib.contextmanager
def data_api(*answers: tuple[int, dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Give an endpoint with one answer after the other, the last for ever, and the SQL it got."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(request["sql"].strip())
            status, document = answers[min(len(asked), len(answers)) - 1]
            body = json.dumps(document).encode()
            self.send_response(status)
            if kind := document.get("__type"):
                self.send_header("x-amzn-ErrorType", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def run(endpoint: str, *, check: bool = False, name: str = "migrator") -> Outcome:
    """Run the module against a Data API."""
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "emulated-secret",
    }
    arguments = {"name": name, "cluster_arn": CLUSTER, "secret_arn": SECRET, "database": "shop"}
    return harness.run("database_user", environment, check=check, **arguments)


def test_a_paused_cluster_is_waited_for() -> None:
    with data_api(RESUMING, row(*COMPLETE)) as (endpoint, asked):
        outcome = run(endpoint)
    assert not outcome.changed
    assert len(asked) == 2


def test_any_other_refusal_is_final() -> None:
    refusal = 403, {"__type": "AccessDeniedException", "message": "may not rds-data"}
    with data_api(refusal) as (endpoint, asked):
        outcome = run(endpoint)
    assert "may not rds-data" in outcome.message
    assert len(asked) == 1


def test_tokens_are_the_last_thing_a_new_user_gets() -> None:
    with data_api(NOBODY) as (endpoint, asked):
        outcome = run(endpoint)
    assert outcome["statements"] == asked[1:]
    assert asked[1] == MAKE
    assert asked[-1] == 'grant rds_iam to "migrator"'


def test_before_postgresql_16_who_makes_a_user_is_no_member() -> None:
    with data_api(row(*MISSING, False, False, "", False)) as (endpoint, asked):
        run(endpoint)
    assert asked[1] == 'create role "migrator" login'


def test_check_mode_tells_the_statements_and_sends_none() -> None:
    lacks_tokens = [True, True, True, True, False, *FIT]
    with data_api(row(*lacks_tokens)) as (endpoint, asked):
        outcome = run(endpoint, check=True)
    assert outcome["statements"] == ['grant rds_iam to "migrator"']
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([*COMPLETE[:5], True, False, "", True], "Name another user"),
        ([*COMPLETE[:5], False, True, "", True], "Name a user that does not exist"),
        ([*MISSING, False, True, "", True], 'begin; create role "maker_of_migrator" createrole;'),
        (
            [*COMPLETE[:5], False, True, "", False],
            'hand over what it owns: begin; grant "migrator"',
        ),
        ([*COMPLETE[:5], False, False, "a, b", True], "The master user is a member of a, b:"),
    ],
    ids=["master user", "another's history", "no user yet", "before 16", "master is a member"],
)
def test_an_unfit_user_is_refused(values: list[bool | str], line: str) -> None:
    with data_api(row(*values)) as (endpoint, asked):
        outcome = run(endpoint)
    assert line in outcome.message
    assert len(asked) == 1


def test_a_name_that_needs_quotes_is_refused() -> None:
    assert "is no name for a user" in run("http://127.0.0.1:9", name='x"; drop').message
