"""TLS in front of a PostgreSQL that was built without it, as Aurora offers it.

A client asks for TLS with PostgreSQL's SSLRequest; from there on every byte is passed through.
Sessions without TLS are refused, as `rds.force_ssl` does, and cancel requests are passed on,
because libpq sends them in the clear.

Of users that a `Login` asks for tokens, as RDS does with PAM, the front checks the token itself.
PostgreSQL then trusts the address that such a session comes from.
"""

import asyncio
import ssl
import struct
import threading
from pathlib import Path
from typing import Protocol, cast

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_CANCEL_REQUEST = 80877102
_HEADER = struct.Struct("!ii")
_CANCEL_LENGTH = 16
_ASK_PASSWORD = b"R" + struct.pack("!ii", 8, 3)
# Another loopback address than anybody's who does not mean it.
TRUSTED_ADDRESS = "127.0.0.2"


class Login(Protocol):
    """Who must show a token instead of a password, and which tokens are good."""

    def wants_token(self, user: str) -> bool:
        """Return whether this user logs in with a token."""

    def accepts(self, user: str, token: str) -> bool:
        """Return whether the token lets this user in."""


def _refusal(text: str) -> bytes:
    fields = f"SFATAL\0VFATAL\0C28000\0M{text}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


class _Relay(asyncio.Protocol):
    """One of the two ends of a session; what it receives goes out at the other end."""

    transport: asyncio.Transport
    peer: "_Relay"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.peer.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio names it)
        self.peer.transport.close()

    def pause_writing(self) -> None:
        self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        self.peer.transport.resume_reading()


class _Greeting(_Relay):
    """The client's end until it is known what the client wants."""

    def __init__(self, upstream: int, context: ssl.SSLContext, login: Login | None) -> None:
        self._upstream = upstream
        self._context = context
        self._login = login
        self._received = b""
        self._task: asyncio.Task[None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the rest to the task, which meets the closed connection."""

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < _HEADER.size:
            return
        _, code = _HEADER.unpack_from(self._received)
        if code == _GSS_REQUEST:
            self._received = self._received[_HEADER.size :]
            self.transport.write(b"N")
        elif code == _SSL_REQUEST:
            self.transport.pause_reading()
            self._task = asyncio.get_running_loop().create_task(self._secure())
        elif code == _CANCEL_REQUEST and len(self._received) >= _CANCEL_LENGTH:
            self._task = asyncio.get_running_loop().create_task(self._cancel())
        elif code != _CANCEL_REQUEST:
            self.transport.write(_refusal("this server accepts sessions with TLS only"))
            self.transport.close()

    async def _connect(self) -> _Relay:
        loop = asyncio.get_running_loop()
        _, server = await loop.create_connection(_Relay, "127.0.0.1", self._upstream)
        return server

    async def _secure(self) -> None:
        """Connect to the server, then make the client's end a TLS one."""
        client = _Client(self._upstream, self._login) if self._login else _Relay()
        try:
            server = await self._connect()
        except OSError:
            self.transport.close()
            return
        server.peer, client.peer = client, server
        client.transport = self.transport
        server.transport.pause_reading()  # until there is somewhere to send it
        self.transport.write(b"S")
        try:
            secured = await asyncio.get_running_loop().start_tls(
                self.transport, client, self._context, server_side=True
            )
        except OSError:  # the client left, or did not trust us
            secured = None
        if secured is None:
            server.transport.abort()
            self.transport.abort()
            return
        client.transport = secured
        server.transport.resume_reading()

    async def _cancel(self) -> None:
        server = await self._connect()
        server.peer = self
        server.transport.write(self._received)


class _Client(_Relay):
    """The client's end from the handshake on; looks at who logs in before anything is passed on."""

    def __init__(self, upstream: int, login: Login) -> None:
        self._upstream = upstream
        self._login = login
        self._startup = b""
        self._received = b""
        self._passing = False
        self._task: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if self._passing:
            super().data_received(data)
            return
        self._received += data
        if not self._startup:
            if message := self._take(0):
                self._startup = message
                self._task = asyncio.get_running_loop().create_task(self._greet())
        elif message := self._take(1):
            self._task = asyncio.get_running_loop().create_task(self._check(message))

    def _take(self, start: int) -> bytes:
        """Return a whole message, whose length stands at `start`, or nothing."""
        if len(self._received) < start + 4:
            return b""
        end = start + int.from_bytes(self._received[start : start + 4])
        if len(self._received) < end:
            return b""
        message, self._received = self._received[:end], self._received[end:]
        return message

    @property
    def _user(self) -> str:
        names = self._startup[_HEADER.size :].decode().split("\0")
        return dict(zip(names[::2], names[1::2], strict=False)).get("user", "")

    async def _greet(self) -> None:
        if await asyncio.to_thread(self._login.wants_token, self._user):
            self.transport.write(_ASK_PASSWORD)
        else:
            self._pass_on()

    async def _check(self, message: bytes) -> None:
        token = message[5:].rstrip(b"\0").decode(errors="replace")
        if not await asyncio.to_thread(self._login.accepts, self._user, token):
            self.transport.write(_refusal(f'PAM authentication failed for user "{self._user}"'))
            self.transport.close()
            return
        stranger = self.peer
        _, self.peer = await asyncio.get_running_loop().create_connection(
            _Relay, "127.0.0.1", self._upstream, local_addr=(TRUSTED_ADDRESS, 0)
        )
        self.peer.peer = self
        stranger.peer = stranger  # its end is not ours
        stranger.transport.abort()
        self._pass_on()

    def _pass_on(self) -> None:
        self._passing = True
        self.peer.transport.write(self._startup + self._received)


class TlsFront:
    """A listener on 127.0.0.1 that speaks TLS outside and plain PostgreSQL inside."""

    def __init__(self, certificate: Path) -> None:
        """Prepare for certificate and key in one file; one loop in one thread serves all ports."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.load_cert_chain(certificate)
        self._loop = asyncio.new_event_loop()
        self._servers: dict[int, asyncio.Server] = {}
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="tls-front", daemon=True
        )
        self._thread.start()

    def open(self, port: int, upstream: int, login: Login | None = None) -> None:
        """Serve TLS on `port` for the server on `upstream`; OSError if the port is taken."""

        async def listen() -> None:
            self._servers[port] = await self._loop.create_server(
                lambda: _Greeting(upstream, self._context, login), "127.0.0.1", port
            )

        asyncio.run_coroutine_threadsafe(listen(), self._loop).result()

    def shut(self, port: int) -> None:
        """Stop listening on `port`; open sessions end with their server."""

        async def close() -> None:
            if server := self._servers.pop(port, None):
                server.close()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()

    def close(self) -> None:
        """Stop listening everywhere and end the thread."""
        for port in list(self._servers):
            self.shut(port)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
