"""What the proxies to PostgreSQL share: who comes is carried to the server and back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

PIECE = 1 << 16  # bytes that are read at once


class Side(NamedTuple):
    """One side of a connection: what is read from it, and written to it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def listen(port: int, carry: Callable[[Side, Side], Awaitable[None]]) -> asyncio.Server:
    """Listen on a free port of 127.0.0.1, and carry whoever connects.

    Parameters:
        port: the server's.
        carry: called with the client's side and the server's, returns when both have ended.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = Side(*await asyncio.open_connection("127.0.0.1", port))
        except OSError:  # it is away
            writer.transport.abort()
            return
        await carry(Side(reader, writer), server)

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def port_of(server: asyncio.Server) -> int:
    """Return the port that a listening server was given."""
    return int(server.sockets[0].getsockname()[1])
