"""A TCP proxy to PostgreSQL that adds latency and counts round trips.

`python -m benchmarks.proxy SERVER_PORT MILLISECONDS` prints its port, and another that tells
whoever connects how often clients have waited for the server so far: each time that one spoke
after it had been answered.
"""

import asyncio
import sys
import time

from benchmarks.relay import PIECE, Side, listen, port_of


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

    async def carry(client: Side, server: Side) -> None:
        trips = Trips()
        await asyncio.gather(
            _carry(client.reader, server.writer, delay, trips, client=True),
            _carry(server.reader, client.writer, delay, trips, client=False),
            return_exceptions=True,
        )

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(Trips.total).encode())
        writer.close()

    servers = [await listen(port, carry), await asyncio.start_server(tell, "127.0.0.1", 0)]
    print(*map(port_of, servers), flush=True)
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
        piece = await reader.read(PIECE)
        if piece:
            trips.spoke(client=client)
        line.put_nowait((time.monotonic() + delay, piece))
    await delivering


asyncio.run(main())
