"""What comes from outside is believed to have a shape only where it has."""

from typing import Any

import pytest

from runner.result import Document
from runner.shape import misfit
from tests.runner.report import documents


@pytest.mark.parametrize("name", documents.ALL)
def test_document_of_the_runner_fits(name: str) -> None:
    assert misfit(documents.ALL[name](), Document) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"exit_code": True}, "$.exit_code: not a whole number"),
        ({"exit_code": "0"}, "$.exit_code: not a whole number"),
        ({"outcome": "ok"}, "$.outcome: not one of"),
        ({"outcome": ["applied"]}, "$.outcome: not one of"),
        ({"applied": None}, "$.applied: not a list"),
        ({"applied": [1]}, "$.applied[0]: not an object"),
        ({"pending": [{"file": "V1__a.sql"}]}, "$.pending[0]: action is missing"),
        ({"target": {"host": 7}}, "$.target.host: not a text"),
        ({"error": {"kind": "odd"}}, "$.error.kind: not one of"),
        ({"data": {"digest": 1}}, "$.data.digest: not a text"),
        ({"more": 1}, "$: 'more' is unknown"),
    ],
)
def test_other_shape_is_told_by_its_path(change: dict[str, Any], said: str) -> None:
    found = misfit({**documents.document(), **change}, Document)
    assert found is not None
    assert found.startswith(said)


@pytest.mark.parametrize(("value", "fits"), [(True, True), (False, False), ("True", False)])
def test_a_truth_value_that_only_one_is_right_of(value: object, fits: bool) -> None:
    document = documents.planned()
    document["data"]["after_deploy"] = value
    assert (misfit(document, Document) is None) == fits


def test_missing_key_is_told() -> None:
    document = documents.document()
    del document["pending"]
    assert misfit(document, Document) == "$: pending is missing"
