"""What makes an embedded PostgreSQL an Aurora: TLS in front of it, by an authority of our own.

Here enters what a database server needs, and nothing of AWS. It knows `local.process` and
`runner.embedded` only.
"""

from runner.embedded import Server, embedded_bin_dir, free_port, temporary_server

__all__ = ["Server", "embedded_bin_dir", "free_port", "temporary_server"]
