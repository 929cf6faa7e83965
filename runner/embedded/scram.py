"""What a server of ours keeps of a password: a verifier that takes one round, not 4,096.

The rounds make a password that a person chose dear to guess, and each connection 13 ms slower. Ours
are 128 random bits, which nobody guesses whatever a guess costs. PostgreSQL stores a text of this
form as it is: "CREATE ROLE", PASSWORD, and "pg_authid" in its documentation; RFC 5802 says how it
is made.
"""

import base64
import hashlib
import hmac
import secrets

_ROUNDS = 1


def verifier(password: str) -> str:
    """Return what stands for a password that is random and long, in CREATE ROLE and for initdb."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored = hashlib.sha256(client).digest()
    return f"SCRAM-SHA-256${_ROUNDS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
