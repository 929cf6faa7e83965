"""A TCP proxy to PostgreSQL that adds latency and counts round trips.

`python proxy.py SERVER_PORT MILLISECONDS` prints its port, and another that tells whoever connects
how often clients have waited for the server so far: each time that one spoke after it had been
answered.
"""

import asyncio
import sys
import time


class Trips:
    """How often the client of a connection spoke after the server had, and those of all."""

    total = 0

    def __init__(self) -> None:
        self._answered = True

    def spoke(self, *, client: bool) -> None:
        """Take that one side has sent something."""
        Trips.total += client and self._answered
        self._answered = not client


async def main() -> None:
    """Serve until killed."""
    port, delay = int(sys.argv[1]), float(sys.argv[2]) / 2000  # half of it each way

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        trips = Trips()
        await asyncio.gather(
            _carry(reader, back, delay, trips, client=True),
            _carry(there, writer, delay, trips, client=False),
            return_exceptions=True,
        )

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(Trips.total).encode())
        writer.close()

    servers = [await asyncio.start_server(what, "127.0.0.1", 0) for what in (serve, tell)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    delay: float,
    trips: Trips,
    *,
    client: bool,
) -> None:
    """Carry what comes from one side to the other, each piece as late as the line is long."""
    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, piece = await line.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not piece:
                writer.close()
                return
            writer.write(piece)
            await writer.drain()

    delivering = asyncio.create_task(deliver())
    piece = b"-"
    while piece:
        piece = await reader.read(1 << 16)
        if piece:
            trips.spoke(client=client)
        line.put_nowait((time.monotonic() + delay, piece))
    await delivering


asyncio.run(main())
