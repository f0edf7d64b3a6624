"""SCRAM-SHA-256 (RFC 5802, 7677), the client's side: both prove that they know the password, and neither says it.

``hashlib.pbkdf2_hmac`` is OpenSSL's, which the agents do without; so the rounds are here, for a thread to run.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

_MOST_ROUNDS = 1_000_000
"""A second or two of processor time; PostgreSQL's default is 4096."""
_BLOCK = 64


class ScramError(Exception):
    """The server's messages are none of this exchange; a sentence."""


class Scram:
    """``first`` is sent, then ``final`` for what comes, and what comes then is ``verified``."""

    def __init__(self, password: str, nonce: str = "") -> None:
        self._password = password.encode()
        self._nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        self._bare = f"n=,r={self._nonce}"
        self._signature = b""

    @property
    def first(self) -> str:
        return f"n,,{self._bare}"

    def final(self, server_first: str) -> str:
        """Takes milliseconds for 4096 rounds. Raises ScramError."""
        given = _attributes(server_first)
        nonce, rounds = given.get("r", ""), given.get("i", "")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ScramError("the server's nonce does not begin with ours")
        if not rounds.isdecimal() or not 1 <= int(rounds) <= _MOST_ROUNDS:
            raise ScramError(f"the server asks for {rounds or 'no'} rounds; {_MOST_ROUNDS} are the most")
        salted = _salted(self._password, _decoded(given.get("s", "")), int(rounds))
        without_proof = f"c=biws,r={nonce}"
        message = f"{self._bare},{server_first},{without_proof}".encode()
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), message)
        self._signature = _hmac(_hmac(salted, b"Server Key"), message)
        proof = base64.b64encode(_xor(client_key, signature)).decode()
        return f"{without_proof},p={proof}"

    def verify(self, server_final: str) -> None:
        """Raises ScramError where the server does not know the password: it is another one."""
        if not self._signature or not hmac.compare_digest(
            _decoded(_attributes(server_final).get("v", "")), self._signature
        ):
            raise ScramError("the server does not prove that it knows the password")


def _attributes(message: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in message.split(",") if "=" in part)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ScramError("the server's message is no base64") from error


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, "sha256").digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _salted(password: bytes, salt: bytes, rounds: int) -> bytes:
    """PBKDF2. HMAC's two hashes have the key as their first block, which is hashed once for all rounds."""
    key = hashlib.sha256(password).digest() if len(password) > _BLOCK else password
    key = key.ljust(_BLOCK, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))
    last, sum_ = salt + b"\0\0\0\1", 0
    for _ in range(rounds):
        once, twice = inner.copy(), outer.copy()
        once.update(last)
        twice.update(once.digest())
        last = twice.digest()
        sum_ ^= int.from_bytes(last, "big")
    return sum_.to_bytes(32, "big")
