"""Standard streams that are closed, full, or read no further: none of them stops the work."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TextIO


def ensure() -> None:
    """Open what the caller closed (`>&-`), before a connection gets its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - until the end


def write(stream: TextIO, text: str, end: str = "\n") -> str | None:
    """Write a text, with numbers for what the stream's encoding lacks, as JSON writes them.

    Returns:
        Why it could not be written. Whoever reads no further, as `head`, wanted no more.
    """
    try:
        print(_encodable(text, stream), end=end, file=stream, flush=True)
    except OSError as error:  # nor may the interpreter fail at its end over what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return None if isinstance(error, BrokenPipeError) else error.strerror
    return None


def _encodable(text: str, stream: TextIO) -> str:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)
    return text
