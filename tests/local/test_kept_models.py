"""What botocore reads and looks up is kept from session to session, and mixed with no other.

For all tests: tests/conftest.py lets their processes keep them.
"""

from botocore import hooks
from botocore.hooks import EventAliaser, HierarchicalEmitter
from botocore.loaders import create_loader


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


def test_of_each_handler_it_is_asked_once_whether_it_takes_any_keyword():
    def handler(**_):
        """Be registered."""

    asked = hooks.accepts_kwargs.cache_info
    emitter = HierarchicalEmitter()
    emitter.register("first", handler)
    before = asked().misses
    emitter.register("second", handler)
    assert asked().misses == before
