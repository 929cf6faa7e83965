"""What we change inside the emulators' packages, by name: all of it is looked for at the start.

The packages are pinned and have no stable interface for this. A new version that has lost names is
refused when an emulator starts, with all of them in one message.
"""

import dataclasses
import importlib
import importlib.metadata
import types
from collections.abc import Callable
from typing import Any

from local.errors import LocalError

Wrapper = Callable[[Any], Any]
_NOTHING = object()


@dataclasses.dataclass(frozen=True)
class _Patch:
    """One place: an attribute of a module, perhaps of a class in it, or an entry of a table."""

    module: Any
    name: str
    wrapper: Wrapper
    entry: str | None = None
    is_new: bool = False

    def __str__(self) -> str:
        entry = "" if self.entry is None or self.is_new else f"[{self.entry!r}]"
        return f"{self.module.__name__}.{self.name}{entry}"

    @property
    def is_missing(self) -> bool:
        if self.entry is None:
            return _look(self.module, self.name) is _NOTHING
        table = _look(self.module, self.name)
        return table is _NOTHING or not (self.is_new or self.entry in table)

    def apply(self) -> None:
        owner, _, name = self.name.rpartition(".")
        holder = _look(self.module, owner) if owner else self.module
        value = getattr(holder, name)
        if self.entry is None:
            setattr(holder, name, self.wrapper(value))
        else:
            value[self.entry] = self.wrapper(value.get(self.entry))


def _look(module: Any, path: str) -> Any:
    found = module
    for name in path.split("."):
        found = getattr(found, name, _NOTHING)
    return found


_patches: list[_Patch] = []
_missing_modules: set[str] = set()


def module(name: str) -> Any:
    """Import a module of an emulator; Any, because they have no type information.

    One that is gone is an empty module until `apply` says so.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        _missing_modules.add(name)
        return types.ModuleType(name)


def wrap(module: Any, name: str, wrapper: Wrapper, *, entry: str | None = None) -> None:
    """Replace a function by what `wrapper` makes of it, when `apply` is called.

    Args:
        module: where it is.
        name: its name there, or that of a table of functions; dots lead into classes.
        wrapper: is given the function as it is then, earlier wrappers included.
        entry: the function's key in the table.

    """
    _patches.append(_Patch(module, name, wrapper, entry))


def replace(module: Any, name: str, value: Any) -> None:
    """Put `value` in the place of what is there, when `apply` is called."""
    wrap(module, name, lambda _: value)


def add(module: Any, table: str, entry: str, value: Any) -> None:
    """Put a new entry into a table, when `apply` is called."""
    _patches.append(_Patch(module, table, lambda _: value, entry, is_new=True))


def apply() -> None:
    """Look for every place, then make all the changes in the order in which they were asked for.

    Raises:
        LocalError: places are missing; it names all of them.

    """
    if missing := _missing():
        names = sorted({name.partition(".")[0] for name in missing})
        packages = " and ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
        raise LocalError(f"{packages} lacks what local/emulator/ changes: {', '.join(missing)}")
    for patch in _patches:
        patch.apply()
    _patches.clear()


def _missing() -> list[str]:
    places = [
        str(patch)
        for patch in _patches
        if patch.is_missing and patch.module.__name__ not in _missing_modules
    ]
    return sorted(_missing_modules | {*places})
