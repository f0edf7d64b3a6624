"""How one logs in with MySQL and MariaDB: the login methods, each a pure function of the server's challenge.

Without TLS ``caching_sha2_password`` wants the password encrypted with the server's RSA key, unless the server knows it
from before; over a Unix socket it is sent as it is. Encryption with a public key is one power modulo a number: no
library is needed for it.
"""

from __future__ import annotations

import base64
import hashlib
import os

NATIVE, CACHING = "mysql_native_password", "caching_sha2_password"


class KeyUnusableError(Exception):
    """What the server gives for its public key is none; a sentence."""


def scrambled(method: str, password: str, challenge: bytes) -> bytes | None:
    """The first answer; empty without a password. None: the method is not known."""
    if method not in (NATIVE, CACHING):
        return None
    secret, challenge = password.encode(), challenge[:20]
    if not secret:
        return b""
    if method == NATIVE:
        once = hashlib.sha1(secret).digest()  # noqa: S324 - the engine's choice
        twice = hashlib.sha1(once).digest()  # noqa: S324
        return _xor(once, hashlib.sha1(challenge + twice).digest())  # noqa: S324
    once = hashlib.sha256(secret).digest()
    twice = hashlib.sha256(once).digest()
    return _xor(once, hashlib.sha256(twice + challenge).digest())


def encrypted(password: str, challenge: bytes, pem: bytes) -> bytes:
    """For who has the key's other half. Raises KeyUnusableError."""
    modulus, exponent = _public_key(pem)
    size = (modulus.bit_length() + 7) // 8
    secret, challenge = password.encode() + b"\0", challenge[:20]
    message = bytes(byte ^ challenge[at % len(challenge)] for at, byte in enumerate(secret))
    padded = _oaep(message, size)
    return pow(int.from_bytes(padded, "big"), exponent, modulus).to_bytes(size, "big")


_LONGEST_MODULUS, _LONGEST_EXPONENT = 1025, 5
"""Bytes: of 8,192 and 32 bits, with the sign's."""


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


def _oaep(message: bytes, size: int) -> bytes:
    """RFC 8017, 7.1.1, with SHA-1 as MySQL has it."""
    digest = hashlib.sha1(b"").digest()  # noqa: S324
    room = size - 2 * len(digest) - 2
    if len(message) > room:
        raise KeyUnusableError(f"the password is longer than the server's key can take ({room} bytes)")
    block = digest + bytes(room - len(message)) + b"\1" + message
    seed = os.urandom(len(digest))
    masked = _xor(block, _mask(seed, len(block)))
    return b"\0" + _xor(seed, _mask(masked, len(seed))) + masked


def _mask(seed: bytes, size: int) -> bytes:
    blocks = (hashlib.sha1(seed + count.to_bytes(4, "big")).digest() for count in range(size // 20 + 1))  # noqa: S324
    return b"".join(blocks)[:size]


def _public_key(pem: bytes) -> tuple[int, int]:
    """Modulus and exponent of a SubjectPublicKeyInfo: SEQUENCE { algorithm, BIT STRING { SEQUENCE { n, e } } }."""
    try:
        lines = [line for line in pem.decode("ascii").split("\n") if line and not line.startswith("-----")]
        outer, _ = _element(base64.b64decode("".join(lines)), 0x30)
        _, rest = _element(outer, 0x30)
        bits, _ = _element(rest, 0x03)
        key, _ = _element(bits[1:], 0x30)
        modulus, rest = _element(key, 0x02)
        exponent, _ = _element(rest, 0x02)
    except (ValueError, IndexError) as error:
        raise KeyUnusableError("the server gives no RSA key in PEM") from error
    if len(modulus) > _LONGEST_MODULUS or len(exponent) > _LONGEST_EXPONENT:  # it would keep the agent busy for seconds
        raise KeyUnusableError("the server's key is larger than any that MySQL makes")
    return int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """DER: the content of the first element, and what follows it."""
    if data[0] != tag:
        raise ValueError
    at, size = 2, data[1]
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(data[2:at], "big")
    if len(data) < at + size:
        raise ValueError
    return data[at : at + size], data[at + size :]
