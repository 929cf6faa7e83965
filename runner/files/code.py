"""The runner's own code, as a function carries it."""

from __future__ import annotations

import hashlib
from pathlib import Path

OWN = Path(__file__).resolve().parents[1]
_LEFT_OUT = {"embedded", "foreign", "lint"}  # rooms that a function does not carry: roles/runner


def code_digest(folder: Path = OWN) -> str:
    """Return the digest of a runner's code: the same code has the same, in whatever place.

    Parameters:
        folder: of the package.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        left_out = inside.parts[0] in _LEFT_OUT or "__pycache__" in inside.parts
        if path.is_file() and not left_out:
            digest.update(f"{inside.as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{digest.hexdigest()}"
