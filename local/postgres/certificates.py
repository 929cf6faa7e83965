"""A certificate authority of this clone alone: TLS to the emulated Aurora is really verified."""

import datetime as dt
import os
from pathlib import Path

import trustme
from cryptography import x509

_LIFETIME = dt.timedelta(days=3650)
_NAMES = ("localhost", "127.0.0.1")


def ensure_certificates(folder: Path) -> None:
    """Make ca.pem and server.pem (certificate and key, mode 0600) in `folder`, once.

    They are made together and kept while both are valid: the Lambda's zip carries ca.pem, so a new
    authority would be a new deployment.
    """
    authority, server = folder / "ca.pem", folder / "server.pem"
    if _valid(authority) and _valid(server):
        return
    issuer = trustme.CA(organization_name="schema-migrations local authority")
    until = dt.datetime.now(dt.UTC) + _LIFETIME
    issued = issuer.issue_cert(*_NAMES, common_name=_NAMES[0], not_after=until)
    _write(server, issued.private_key_and_cert_chain_pem.bytes())
    _write(authority, issuer.cert_pem.bytes())


def _valid(path: Path) -> bool:
    """Whether a file begins with a certificate that has not ended."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    return certificate.not_valid_after_utc > dt.datetime.now(dt.UTC)


def _write(path: Path, content: bytes) -> None:
    """Write a private file, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)
