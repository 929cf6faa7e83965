"""A certificate authority of this clone alone: TLS to the emulated Aurora is really verified."""

import datetime as dt
import ipaddress
import os
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = dt.timedelta(days=3650)
_NAMES: list[x509.GeneralName] = [
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
]


def ensure_certificates(folder: Path) -> None:
    """Make ca.pem and server.pem (certificate and key, mode 0600) in `folder`, once.

    They are made together and kept: the Lambda's zip carries ca.pem, so a new authority would
    be a new deployment.
    """
    authority, server = folder / "ca.pem", folder / "server.pem"
    if authority.exists() and server.exists():
        return
    authority_key = ec.generate_private_key(ec.SECP256R1())
    name = f"schema-migrations local authority {secrets.token_hex(4)}"
    authority_certificate = _sign(name, authority_key, None)
    server_key = ec.generate_private_key(ec.SECP256R1())
    server_certificate = _sign("localhost", server_key, (authority_certificate, authority_key))
    _write(server, _pem(server_certificate) + _private(server_key))
    _write(authority, _pem(authority_certificate))


_Issuer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _sign(name: str, key: ec.EllipticCurvePrivateKey, issuer: _Issuer | None) -> x509.Certificate:
    """Certify `key`; without an issuer it becomes an authority that signs itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(_NAMES), critical=False
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    """Write a private file, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)
