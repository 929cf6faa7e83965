"""Keep AWS's models, as botocore carries them, from one session of boto3 to the next.

Each session reads the model of a service again: some 50 ms, and most modules and tests make a
session of their own. Who changes what it gets would change it for all; botocore changes nothing.
"""

from collections.abc import Mapping
from types import CodeType
from typing import Any

from botocore import hooks
from botocore.hooks import EVENT_ALIASES, EventAliaser
from botocore.loaders import JSONFileLoader, Loader


def keep() -> None:
    """Let this process read each model once, and look once for what there is."""
    _keep_models()
    _keep_aliases()
    _keep_signatures()


def _keep_models() -> None:
    load, listed = JSONFileLoader.load_file, Loader.list_available_services
    models: dict[str, object] = {}
    services: dict[tuple[str, ...], list[str]] = {}

    def load_file(self: JSONFileLoader, path: str) -> object:
        if path not in models:
            models[path] = load(self, path)
        return models[path]

    def list_available_services(self: Loader, type_name: str) -> list[str]:
        key = (type_name, *self.search_paths)
        if key not in services:
            services[key] = listed(self, type_name)
        return services[key]

    JSONFileLoader.load_file = load_file  # type: ignore[assignment,method-assign]
    Loader.list_available_services = list_available_services  # type: ignore[method-assign]


def _keep_aliases() -> None:
    """Look each event's name up once: a fifth of what it takes to make a session."""
    initialize = EventAliaser.__init__
    names: dict[str, str] = {}

    def __init__(  # noqa: N807 (it replaces one)
        self: EventAliaser, event_emitter: Any, event_aliases: Mapping[str, str] | None = None
    ) -> None:
        initialize(self, event_emitter, event_aliases)
        if event_aliases is None or event_aliases == EVENT_ALIASES:
            self._alias_name_cache = names  # type: ignore[attr-defined] # private: else nothing is kept

    EventAliaser.__init__ = __init__  # type: ignore[method-assign]


def _keep_signatures() -> None:
    """Look once whether a handler takes any keyword: a session registers some 130 of them.

    It is asked by code, of which a program has so much and no more, and not by handler: most are
    made anew for each client.
    """
    look = hooks.accepts_kwargs
    known: dict[CodeType, bool] = {}

    def accepts_kwargs(handler: Any) -> bool:
        code = getattr(handler, "__code__", None)
        if not isinstance(code, CodeType):
            return bool(look(handler))
        if code not in known:
            known[code] = bool(look(handler))
        return known[code]

    hooks.accepts_kwargs = accepts_kwargs  # type: ignore[assignment]
