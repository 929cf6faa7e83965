"""A background process of the stack: what starts it, and how to see that it is there."""

import dataclasses
import http.client

from local.process.process import Process, command_line, environment_of


@dataclasses.dataclass(frozen=True)
class Daemon:
    """One background process of the stack, and how to see that it answers."""

    name: str
    purpose: str
    port: int
    command: tuple[str, ...]
    environment: dict[str, str]
    health: str

    def runs_as(self, process: Process) -> bool:
        """Whether `process` was started for this port, which it has as argument or setting."""
        known = (*command_line(process.pid), *environment_of(process.pid))
        return str(self.port) in known or f"GATEWAY_PORT={self.port}" in known

    def answers(self) -> bool:
        """Whether it answers on its health endpoint now."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.health)
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()
