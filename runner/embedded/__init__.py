"""A PostgreSQL server of one's own, from nothing but a folder of binaries: extra `verify`.

Here enters what a server needs that runs as a background process of this machine. It knows the
ground floor only; the local stack builds on it. Never in the Lambda.
"""

from runner.embedded.ports import free_port
from runner.embedded.server import Server, embedded_bin_dir, major_of, temporary_server

__all__ = ["Server", "embedded_bin_dir", "free_port", "major_of", "temporary_server"]
