"""A proxy to PostgreSQL at one byte of which something happens."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal, NamedTuple, Self

from benchmarks.relay import PIECE, Side, listen, port_of

Direction = Literal["sent", "answered"]

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing tells the other side of an error


class Place(NamedTuple):
    """A byte of the first connection, counted from 0, of what its client sent or was answered."""

    direction: Direction
    byte: int


class Line:
    """One connection through the proxy; what is done to it may be done from any thread."""

    def __init__(self, client: Side, server: Side) -> None:
        self.client, self.server = client, server
        self.passed: dict[Direction, int] = {"sent": 0, "answered": 0}
        self.moving = asyncio.Event()
        self.moving.set()
        self.apart = False  # what happens to one side is not passed on to the other
        self._loop = asyncio.get_running_loop()

    def cut(self, *sides: Side, reset: bool = False) -> None:
        """Cut these sides off, or both; a side that is left hears nothing of it."""
        self.apart = bool(sides)
        for side in sides or (self.client, self.server):
            self._loop.call_soon_threadsafe(_abort, side, reset)

    def half_close(self, side: Side) -> None:
        """Tell one side that the other will say no more."""
        self._loop.call_soon_threadsafe(_end, side)

    def freeze(self) -> None:
        """Let nothing pass any more."""
        self._loop.call_soon_threadsafe(self.moving.clear)

    def thaw(self) -> None:
        """Let everything pass that was held back."""
        self._loop.call_soon_threadsafe(self.moving.set)


def _abort(side: Side, reset: bool = False) -> None:
    if reset:
        with contextlib.suppress(OSError):
            there: socket.socket = side.writer.get_extra_info("socket")
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    side.writer.transport.abort()


def _end(side: Side) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # it is closed already
        side.writer.write_eof()


class Proxy:
    """Listens on a port of its own while inside.

    Parameters:
        server: the port that it leads to.
        place: where something happens.
        strike: what; nothing passes in that direction until it returns.
        pieces: bytes that are passed on at once.
    """

    def __init__(
        self,
        server: int,
        place: Place | None = None,
        strike: Callable[[Line], None] = lambda _: None,
        *,
        pieces: int = PIECE,
    ) -> None:
        self._server, self._place, self._strike, self._pieces = server, place, strike, pieces
        self._ready = threading.Event()
        self._over: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._carrying: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.port = 0
        self.lines: list[Line] = []
        self.struck = False

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._loop
        assert self._over
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def cut(self) -> None:
        """Cut every connection: what was held back comes to nobody."""
        for line in self.lines:
            line.cut()

    def passed(self, direction: Direction) -> int:
        """Return how many bytes of the first connection have passed."""
        return self.lines[0].passed[direction] if self.lines else 0

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await listen(self._server, self._line)
        self.port = port_of(server)
        self._ready.set()
        await self._over.wait()
        server.close()
        for line in self.lines:
            line.moving.set()
            _abort(line.client)
            _abort(line.server)
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _line(self, client: Side, server: Side) -> None:
        line = Line(client, server)
        self.lines.append(line)
        if task := asyncio.current_task():
            self._carrying.add(task)
        await asyncio.gather(
            self._carry(line, "sent", client, server),
            self._carry(line, "answered", server, client),
        )

    async def _carry(self, line: Line, direction: Direction, source: Side, sink: Side) -> None:
        try:
            while piece := await source.reader.read(PIECE):
                await self._pass(line, direction, piece, sink)
            await line.moving.wait()
            if not line.apart:
                _end(sink)
        except (OSError, RuntimeError):  # what breaks or ends on one side breaks on the other
            if not line.apart:
                _abort(source)
                _abort(sink)

    async def _pass(self, line: Line, direction: Direction, piece: bytes, sink: Side) -> None:
        before = self._before(line, direction, len(piece))
        if before is not None:
            self.struck = True
            await self._write(line, direction, piece[:before], sink)
            await asyncio.to_thread(self._strike, line)
            piece = piece[before:]
        await self._write(line, direction, piece, sink)

    def _before(self, line: Line, direction: Direction, length: int) -> int | None:
        """Return how much of a piece comes before the place, None where that is not in it."""
        if self.struck or self._place is None or line is not self.lines[0]:
            return None
        before = self._place.byte - line.passed[direction]
        return before if direction == self._place.direction and 0 <= before < length else None

    async def _write(self, line: Line, direction: Direction, piece: bytes, sink: Side) -> None:
        for start in range(0, len(piece), self._pieces):
            await line.moving.wait()
            sink.writer.write(piece[start : start + self._pieces])
            await sink.writer.drain()
        line.passed[direction] += len(piece)
