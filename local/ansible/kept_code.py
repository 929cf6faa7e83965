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
    folder = os.environ.get(_FOLDER)
    if not folder:
        return
    gc.set_threshold(_GARBAGE)
    original = getattr(zipimport, "_compile_source", None)  # private: without it nothing is kept
    if original is None or original.__module__ == __name__:
        return
    home = Path(folder, importlib.util.MAGIC_NUMBER.hex() + sys.flags.optimize * "o")

    def compile_source(pathname: str, source: bytes) -> CodeType:
        kept = home / importlib.util.source_hash(source).hex()
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError):
            if isinstance(code := marshal.loads(kept.read_bytes()), CodeType):  # noqa: S302 (ours)
                return code
        code = original(pathname, source)
        assert isinstance(code, CodeType)
        with contextlib.suppress(OSError):
            _write(kept, marshal.dumps(code))
        return code

    zipimport._compile_source = compile_source  # type: ignore[attr-defined] # noqa: SLF001


def _write(path: Path, content: bytes) -> None:
    """Write a file that other processes may read at this moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_bytes(content)
    new.replace(path)
