"""The files of a folder as one piece of data, to travel to a function."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import PurePosixPath

from runner.errors import ConfigurationError

MOST = 256 << 20  # bytes of all files: what a function's memory and disk hold


def packed(files: Mapping[str, str]) -> bytes:
    """Return names and texts as a JSON object, compressed by gzip: the same for the same files."""
    return gzip.compress(json.dumps(files).encode(), mtime=0)


def unpacked(data: bytes) -> dict[str, str]:
    """Return what `packed` was given.

    Raises:
        ConfigurationError: it is something else, too large, or names a file outside a folder.
    """
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as file:
            content = file.read(MOST + 1)
        files = json.loads(content) if len(content) <= MOST else None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ConfigurationError(f"the event's files cannot be read: {error}") from error
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise ConfigurationError(
            f"the event's files are not names with their texts, {MOST >> 20} MB at most"
        )
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\0" in name:
            raise ConfigurationError(f"the event has a file named {name!r}, outside of its folder")
    return files
