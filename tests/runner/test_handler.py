"""The Lambda's event is checked, its failures raise with the whole result."""

import json
from typing import Any

import pytest

from runner import handler
from runner.errors import ConfigurationError


class Context:
    """What Lambda hands to a handler."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (None, "not an object"),
        ([], "not an object"),
        ({}, "unknown command None"),
        ({"command": "drop", "run_id": "r"}, "unknown command 'drop'"),
        ({"command": "migrate"}, "no run_id"),
        ({"command": "migrate", "run_id": 7}, "no run_id"),
        ({"command": "migrate", "run_id": "r", "sql": "drop table x"}, "unknown keys: sql"),
        ({"command": "migrate", "run_id": "r", "options": {"to": "1"}}, "no option 'to'"),
        ({"command": "rollback", "run_id": "r", "options": {"steps": True}}, "takes a int"),
        ({"command": "migrate", "run_id": "r", "options": {"target": 3}}, "takes a str"),
        ({"command": "migrate", "run_id": "r", "options": {"target": "x"}}, "not a version"),
        ({"command": "migrate", "run_id": "r", "options": {"on_drift": "x"}}, "one of: warn, fail"),
        ({"command": "rollback", "run_id": "r"}, "rollback takes one of --to or --steps"),
        ({"command": "baseline", "run_id": "r"}, "baseline needs version"),
        ({"command": "verify", "run_id": "r"}, "unknown command 'verify'"),
    ],
)
def test_wrong_event_is_refused(event: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        handler.parse(event)


def test_right_event_is_taken() -> None:
    event = {"command": "rollback", "run_id": "r", "options": {"steps": 2}}
    command, run_id, options = handler.parse(event)
    assert (command.name, run_id, options) == ("rollback", "r", {"steps": 2})


def test_failure_raises_with_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PGHOST", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(handler.RunFailed) as raised:
        handler.handle({"command": "migrate", "run_id": "r"}, Context())
    document = json.loads(str(raised.value))
    assert (document["outcome"], document["exit_code"], document["run_id"]) == ("failed", 2, "r")


def test_connection_is_verified_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)
    environment = handler._environment()
    assert environment["PGSSLMODE"] == "verify-full"
    assert environment["PGSSLROOTCERT"].endswith("ca-bundle.pem")


def test_metrics_say_what_an_alarm_needs() -> None:
    document = {
        "error": None, "applied": [1, 2], "pending": [], "duration_ms": 70, "run_id": "r",
    }  # fmt: skip
    numbers = json.loads(handler.metrics(document, 1_700_000_000.5))
    (directive,) = numbers["_aws"]["CloudWatchMetrics"]
    assert numbers["_aws"]["Timestamp"] == 1_700_000_000_500
    assert {metric["Name"]: numbers[metric["Name"]] for metric in directive["Metrics"]} == {
        "Failed": 0,
        "Applied": 2,
        "Pending": 0,
        "Duration": 70,
    }
    assert all(name in numbers for (name,) in directive["Dimensions"])
