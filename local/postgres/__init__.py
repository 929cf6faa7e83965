"""A PostgreSQL server from a folder of binaries, and TLS in front of it as Aurora offers it.

Here enters what a database server needs, and nothing of AWS: tests and benchmarks use the room
alone. It knows `local.process` only.
"""

from local.postgres.server import Server, embedded_bin_dir, temporary_server
from local.process import free_port

__all__ = ["Server", "embedded_bin_dir", "free_port", "temporary_server"]
