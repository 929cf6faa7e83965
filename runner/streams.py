"""Standard streams that are closed, full, or read no further: none of them stops the work.

And what libraries write to standard error by themselves: nobody but us writes to a terminal.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Self, TextIO

_STDERR = 2
_PIPE = 1 << 20  # bytes; no pipe holds more by itself


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


class Overheard:
    """Keeps from standard error what a library writes to it while inside, as libpq at a login.

    The process has one standard error: threads that are inside at once share what is heard, and
    the last of them to leave gives it back. What is more than a pipe holds is lost.
    """

    _entering = threading.Lock()
    _inside = 0
    _true: int | None = None  # standard error, while something else has its number
    _heard = -1

    def __enter__(self) -> Self:
        cls = type(self)
        with cls._entering:
            if not cls._inside:
                cls._begin()
            cls._inside += 1
        return self

    def __exit__(self, *_: object) -> None:
        cls = type(self)
        with cls._entering:
            self.text = cls._take()
            cls._inside -= 1
            if not cls._inside:
                cls._end()

    @classmethod
    def _begin(cls) -> None:
        try:
            cls._true = os.dup(_STDERR)
        except OSError:  # it is closed, and nobody sees what is written to it
            return
        cls._heard, written = os.pipe()
        for end in (cls._heard, written):
            os.set_blocking(end, False)
        os.dup2(written, _STDERR)
        os.close(written)

    @classmethod
    def _take(cls) -> str:
        if cls._true is None:
            return ""
        try:
            return os.read(cls._heard, _PIPE).decode(errors="replace").strip()
        except BlockingIOError:
            return ""

    @classmethod
    def _end(cls) -> None:
        if cls._true is not None:
            os.dup2(cls._true, _STDERR)
            os.close(cls._true)
            os.close(cls._heard)
            cls._true = None
