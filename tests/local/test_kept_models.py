"""What botocore reads and looks up is kept from session to session, and mixed with no other.

For all tests: tests/conftest.py lets their processes keep them.
"""

import pytest
from botocore import hooks
from botocore.hooks import EventAliaser, HierarchicalEmitter
from botocore.loaders import create_loader

from local.ansible.kept_models import _keep_signatures


def test_a_model_is_read_once_whoever_asks():
    first, second = (create_loader().load_service_model("sts", "service-2") for _ in range(2))
    assert first["operations"] is second["operations"]


def test_names_of_another_table_of_aliases_are_its_own():
    usual, other = (
        EventAliaser(HierarchicalEmitter(), aliases) for aliases in (None, {"before": "after"})
    )
    heard = []
    for emitter in (usual, other):
        emitter.register("before.sts", lambda **_: heard.append("heard"))
    usual.emit("after.sts")
    assert heard == []
    other.emit("after.sts")
    assert heard == ["heard"]


def test_a_handler_is_looked_at_once_however_many_there_are_of_its_code(monkeypatch):
    looked = []

    def look(handler):
        looked.append(handler)
        return True

    monkeypatch.setattr(hooks, "accepts_kwargs", look)
    _keep_signatures()

    def handler():
        return lambda **_: None

    emitter = HierarchicalEmitter()
    first, *more = (handler() for _ in range(3))
    for one in (first, *more):
        emitter.register("before.sts", one)
    assert looked == [first]


def test_a_handler_that_takes_no_keyword_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(ValueError, match="keyword"):
            HierarchicalEmitter().register("before.sts", lambda: None)
