"""The files of a folder as one text, to travel in an event."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import PurePosixPath

from runner.errors import ConfigurationError

_MOST = 256 << 20  # bytes of all files: what a function's memory and disk hold


def packed(files: Mapping[str, str]) -> str:
    """Return names and texts as a JSON object, compressed by gzip, in base64."""
    return base64.b64encode(gzip.compress(json.dumps(files).encode(), mtime=0)).decode()


def unpacked(text: str) -> dict[str, str]:
    """Return what `packed` was given.

    Raises:
        ConfigurationError: it is something else, too large, or names a file outside a folder.
    """
    try:
        with gzip.GzipFile(fileobj=BytesIO(base64.b64decode(text, validate=True))) as file:
            content = file.read(_MOST + 1)
        files = json.loads(content) if len(content) <= _MOST else None
    except (binascii.Error, OSError, EOFError, zlib.error, ValueError) as error:
        raise ConfigurationError(f"the event's files cannot be read: {error}") from error
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise ConfigurationError(
            f"the event's files are not names with their texts, {_MOST >> 20} MB at most"
        )
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\0" in name:
            raise ConfigurationError(f"the event has a file named {name!r}, outside of its folder")
    return files
