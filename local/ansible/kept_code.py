"""Keep the compiled code of Ansible's modules from one call to the next.

Ansible sends each module as a zip of sources, and Python compiles what it imports from a zip again
in each process: a third of what a call of a module costs. Here the compiled code is kept in a
folder, by a hash of its source, as a .pyc file would have it.
"""

import contextlib
import gc
import importlib.util
import marshal
import os
import sys
import zipimport
from collections.abc import Callable
from pathlib import Path
from types import CodeType

_FOLDER = "LOCAL_CODE_CACHE"
_GARBAGE = 70_000  # objects that are made until Python looks for what nobody holds any more
_STARTUP = Path(__file__).parent  # with our sitecustomize


def startup(folder: Path, python: Path) -> dict[str, str]:
    """Return the environment in which Ansible and a Python process keep what they make in `folder`.

    Where another sitecustomize precedes it in PYTHONPATH, that one has to call keep().

    Args:
        folder: need not exist.
        python: what runs Ansible's modules.

    """
    return {
        _FOLDER: str(folder),
        "PYTHONPATH": str(_STARTUP),
        "ANSIBLE_CALLBACK_PLUGINS": str(_STARTUP / "callback"),
        "ANSIBLE_PYTHON_INTERPRETER": str(python),
    }


def keep() -> None:
    """Let this process, if its environment says so, compile no source from a zip a second time.

    It looks for garbage a hundred times less often, too: Ansible makes little, and looks at all of
    its variables each time, which is a tenth of what a playbook takes.
    """
    folder = home()
    if not folder:
        return
    gc.set_threshold(_GARBAGE)
    original = getattr(zipimport, "_compile_source", None)  # private: without it nothing is kept
    if original is None or original.__module__ == __name__:
        return

    def compile_source(pathname: str, source: bytes) -> CodeType:
        def made() -> CodeType:
            return original(pathname, source)  # type: ignore[no-any-return]

        return kept(folder / importlib.util.source_hash(source).hex(), made)

    zipimport._compile_source = compile_source  # type: ignore[attr-defined] # noqa: SLF001


def home() -> Path | None:
    """Return where this Python keeps code, if its environment says so."""
    folder = os.environ.get(_FOLDER)
    magic = importlib.util.MAGIC_NUMBER.hex() + sys.flags.optimize * "o"
    return Path(folder, magic) if folder else None


def kept(file: Path, made: Callable[[], CodeType]) -> CodeType:
    """Return code from a file, or make it and keep it there, if that can be done.

    Args:
        file: whose name says what the code was made of.
        made: makes it.

    """
    with contextlib.suppress(OSError, ValueError, EOFError, TypeError):
        if isinstance(code := marshal.loads(file.read_bytes()), CodeType):  # noqa: S302 (ours)
            return code
    code = made()
    assert isinstance(code, CodeType)
    with contextlib.suppress(OSError):
        _write(file, marshal.dumps(code))
    return code


def _write(path: Path, content: bytes) -> None:
    """Write a file that other processes may read at this moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_bytes(content)
    new.replace(path)
