"""Login methods, against the real engines where Debian has them; MySQL's own is played by a server in this process."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from agent.tooling.protocols import mysql_login
from agent.tooling.protocols.scram import Scram, ScramError
from tests.unit.agent.tooling.peers import interpreter, listening
from tests.unit.agent.tooling.sql.asking import MYSQL, POSTGRESQL, Asker
from tests.unit.agent.tooling.sql.databases import PASSWORD, Database

__all__ = ["interpreter"]


@pytest.mark.parametrize("user", ["scram", "md5", "plain"])
async def test_postgresql_is_logged_in_with_by_its_methods(
    interpreter: Interpreter, postgresql: Database, user: str
) -> None:
    (interpreter.settings.secrets_dir / "password").write_text(PASSWORD)
    asker = Asker(interpreter, postgresql, POSTGRESQL)
    connections = asker.connection(postgresql.tcp, user=user, keep=False)
    assert await asker.rows("SELECT current_user AS who", connections=connections) == [{"who": user}]


async def test_a_user_of_the_socket_needs_no_password(
    interpreter: Interpreter, postgresql: Database, mariadb: Database
) -> None:
    for asker in (Asker(interpreter, postgresql, POSTGRESQL), Asker(interpreter, mariadb, MYSQL)):
        assert await asker.rows("SELECT 1 AS one", connections=asker.connection(keep=False)) == [{"one": 1}]


async def test_a_role_that_is_not_the_one_of_the_socket_is_told_with_the_engine_s_words(
    interpreter: Interpreter, postgresql: Database
) -> None:
    asker = Asker(interpreter, postgresql, POSTGRESQL)
    with pytest.raises(ToolError, match=r"refuses the login: 28000: .*rejects") as failure:
        await asker.rows("SELECT 1", connections=asker.connection(user="scram"))
    assert not failure.value.login_refused


def test_scram_is_what_rfc_7677_has_for_an_example() -> None:
    scram = Scram("pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    scram._bare = "n=user,r=rOprNGfwEbeRWgbNEkqO"
    first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert scram.final(first).endswith("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    scram.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(ScramError, match="does not prove that it knows the password"):
        scram.verify("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        ("r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
        ("r=oursX,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=2000000000", "rounds; 1000000 are the most"),
        ("r=oursX,s=!,i=1", "no base64"),
        ("nonsense", "nonce"),
    ],
)
def test_a_server_cannot_make_scram_endless_or_empty(first: str, sentence: str) -> None:
    with pytest.raises(ScramError, match=sentence):
        Scram("pencil", nonce="ours").final(first)


async def test_a_postgresql_that_does_not_prove_itself_is_not_asked(interpreter: Interpreter) -> None:
    """Whoever listens on the port gets no statement before it has shown that it knows the password."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def said(kind: bytes, body: bytes) -> None:
            writer.write(kind + struct.pack("!i", len(body) + 4) + body)

        await reader.readexactly(struct.unpack("!i", await reader.readexactly(4))[0] - 4)
        said(b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0")
        await reader.readexactly(1 + 4)
        said(b"R", struct.pack("!i", 0))
        said(b"Z", b"I")
        await writer.drain()
        await reader.read()
        writer.close()

    async with listening(serve) as address:
        asker = Asker(interpreter, Database(interpreter.settings.data_dir, 0), POSTGRESQL)
        with pytest.raises(ToolError, match="does not prove that it knows the password"):
            await asker.rows("SELECT 1", connections=asker.connection(address))


@dataclass
class FakeMysql:
    """MySQL 8's ``caching_sha2_password`` as its manual has it, since Debian's MariaDB lacks it; answers OK to all that
    comes after."""

    known: bool
    """From an earlier login: the fast way."""
    switches: bool = False
    """It first asks for another user's method."""
    password: str = PASSWORD
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    asked: list[str] = field(default_factory=list)
    ways: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, challenge = 0, bytes(range(1, 21))

        async def heard() -> bytes:
            nonlocal number
            head = await reader.readexactly(4)
            number = head[3] + 1
            return await reader.readexactly(int.from_bytes(head[:3], "little"))

        def say(body: bytes) -> None:
            nonlocal number
            writer.write(len(body).to_bytes(3, "little") + bytes([number]) + body)
            number += 1

        method = b"caching_sha2_password"
        shown = b"some_other_method" if self.switches else method
        greeting = b"\x0a8.4.0\0" + struct.pack("<I", 7) + challenge[:8] + b"\0"
        greeting += struct.pack("<HBHHB", 0xFFFF, 45, 2, 0xFFFF, 21) + bytes(10) + challenge[8:] + b"\0" + shown + b"\0"
        say(greeting)
        answer = await heard()
        if self.switches:
            say(b"\xfe" + method + b"\0" + challenge + b"\0")
            proof = await heard()
        else:
            user_end = answer.index(b"\0", 32) + 1
            proof = answer[user_end + 1 : user_end + 1 + answer[user_end]]
        if self.known:
            assert proof == self.scramble(challenge)
            self.ways.append("fast")
            say(b"\1\3")
        else:
            say(b"\1\4")
            assert await heard() == b"\2"
            say(b"\1" + self.key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ))  # fmt: skip
            oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
            plain = self.key.decrypt(await heard(), oaep)
            secret = bytes(byte ^ challenge[at % 20] for at, byte in enumerate(plain))
            assert secret == self.password.encode() + b"\0"
            self.ways.append("encrypted")
        ok = b"\0\0\0\2\0\0\0"
        say(ok)
        while head := await reader.read(4):
            body = await reader.readexactly(int.from_bytes(head[:3], "little"))
            number = 1
            if body[0] == 1:
                break
            self.asked.append(body[1:].decode())
            say(ok)
        writer.close()

    def scramble(self, challenge: bytes) -> bytes:
        once = hashlib.sha256(self.password.encode()).digest()
        other = hashlib.sha256(hashlib.sha256(once).digest() + challenge).digest()
        return bytes(left ^ right for left, right in zip(once, other, strict=True))


@pytest.mark.parametrize("switches", [False, True])
@pytest.mark.parametrize("known", [False, True])
async def test_mysql_8_is_logged_in_with_over_tcp_without_tls(
    interpreter: Interpreter, known: bool, switches: bool
) -> None:
    (interpreter.settings.secrets_dir / "password").write_text(PASSWORD)
    server = FakeMysql(known, switches)
    async with listening(server.serve) as address:
        asker = Asker(interpreter, Database(interpreter.settings.data_dir, 0), MYSQL)
        assert await asker.rows("SELECT 1", connections=asker.connection(address, keep=False)) == []
    assert server.ways == ["fast" if known else "encrypted"]
    settings, statement = server.asked
    assert statement == "SELECT 1"
    assert "max_execution_time = 10000" in settings, "this is no MariaDB"


def test_what_is_no_key_gets_no_password() -> None:
    for pem in (b"", b"no pem", b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(mysql_login.KeyUnusableError, match=r"no RSA key|larger than any"):
            mysql_login.encrypted("password", bytes(20), pem)


async def test_a_login_method_that_is_not_known_is_named(interpreter: Interpreter, mariadb: Database) -> None:
    (interpreter.settings.secrets_dir / "password").write_text(PASSWORD)
    asker = Asker(interpreter, mariadb, MYSQL)
    await asker.ask(["INSTALL SONAME 'auth_ed25519'", "CREATE OR REPLACE USER ed IDENTIFIED VIA ed25519 USING 'x'"],
                    refusals="value")  # fmt: skip
    with pytest.raises(ToolError, match=r"login method|refuses the login"):
        await asker.rows("SELECT 1", connections=asker.connection(mariadb.tcp, user="ed", keep=False))
    asker.pool.close()
