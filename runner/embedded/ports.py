"""TCP ports of 127.0.0.1: free ones, and who holds one that is taken."""

import collections
import dataclasses
import random
import socket
import time

import psutil

from runner.embedded.process import command_line
from runner.errors import ConfigurationError

# Below the range from which the kernel takes ports for outgoing connections: a port that is free
# now and is bound a moment later is not given to one of those meanwhile.
_PORTS = range(20000, 32000)
_DYING = 5.0  # seconds
_LOOK = 0.02


@dataclasses.dataclass(frozen=True)
class Claim:
    """A port that is about to be listened on, what for, and the variable that moves it."""

    port: int
    purpose: str
    variable: str


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at this moment.

    Raises:
        ConfigurationError: there is none.

    """
    for port in random.sample(_PORTS, 200):
        if is_free(port):
            return port
    raise ConfigurationError(f"none of 200 ports between {_PORTS[0]} and {_PORTS[-1]} is free")


def is_free(port: int) -> bool:
    """Whether one could listen on `port` of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def require_free(*claims: Claim) -> None:
    """Look at all claimed ports before any of them is used.

    Raises:
        ConfigurationError: some are taken, or wanted twice; it names each with its holder, and the
            way out.

    """
    times = collections.Counter(claim.port for claim in claims)
    troubles = [(claim, said) for claim in claims if (said := _trouble(claim, times[claim.port]))]
    if not troubles:
        return
    stop, choose = ("that", "another") if len(troubles) == 1 else ("those", "others")
    variables = " ".join(f"{claim.variable}=PORT" for claim, _ in troubles)
    raise ConfigurationError(
        f"{'; '.join(said for _, said in troubles)}: "
        f"stop {stop}, or choose {choose} with {variables}"
    )


def _trouble(claim: Claim, times: int) -> str:
    """Say what is wrong with a claim, or nothing.

    A process that was just killed gives its port back a moment after it is gone, so a port that
    nobody is seen to hold is looked at again for a while.
    """
    said = f"port {claim.port}, meant for {claim.purpose},"
    if times > 1:
        return f"{said} is wanted for something else too"
    until = time.monotonic() + _DYING
    while not is_free(claim.port):
        holder = _holder(claim.port)
        if holder or time.monotonic() > until:
            return f"{said} is taken{f' by {holder}' if holder else ''}"
        time.sleep(_LOOK)
    return ""


def _holder(port: int) -> str:
    """Say which process listens on a port, as far as this user may know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:  # some systems tell it to root only
        return ""
    for found in connections:
        listens = found.status == psutil.CONN_LISTEN and found.laddr
        if listens and listens.port == port and found.pid:
            return f"process {found.pid} ({' '.join(command_line(found.pid))[:60].strip()})"
    return ""
