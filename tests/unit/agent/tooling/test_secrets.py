"""Secrets that are rotated while they are masked."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.tooling.names import Scope
from agent.tooling.secrets import Secrets, UnknownSecretError
from language.expressions import text
from tests.unit.agent.support import write_secret


def test_a_rotated_secret_is_masked_as_soon_as_it_is_mounted(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    write_secret(tmp_path, {"password": b"first-value\n", "pin": b"123"})
    assert secrets.mask("first-value, second-value, 123") == "***, second-value, 123"
    write_secret(tmp_path, {"password": b"second-value\n", "pin": b"123"})
    assert secrets.masked({"a": "second-value", "b": "b"}) == {"a": "***", "b": "b"}


def test_a_former_secret_stays_masked_as_the_engine_may_still_print_it(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    write_secret(tmp_path, {"password": b"first-value"})
    assert secrets.mask("first-value") == "***"
    write_secret(tmp_path, {"password": b"second-value"})
    assert secrets.mask("requirepass first-value or second-value") == "requirepass *** or ***"


def test_somebodys_edit_is_not_used_before_it_is_brought_about(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    write_secret(tmp_path, {"password": b"edited-pw", "password.used": b"in-use-pw"})
    assert (secrets.get("password"), secrets.get("password.also")) == ("in-use-pw", "in-use-pw")
    assert secrets.mask("edited-pw, in-use-pw") == "***, ***"
    first = secrets.changed()
    write_secret(tmp_path, {"password": b"edited-again", "password.used": b"in-use-pw"})
    assert first
    assert secrets.changed() not in ("", first), "each edit is told"
    write_secret(tmp_path, {"password": b"in-use-pw\n", "password.used": b"in-use-pw"})
    assert secrets.changed() == ""


@pytest.mark.parametrize("other", ["next", "former"])
def test_while_a_password_is_changed_there_is_another_one(tmp_path: Path, other: str) -> None:
    secrets = Secrets(tmp_path)
    files = {"password": b"a-password", "password.used": b"a-password", f"password.{other}": b"b-password"}
    write_secret(tmp_path, {**files, ".rotation": b"use 2"})
    assert (secrets.get("password"), secrets.get("password.also")) == ("a-password", "b-password")
    assert secrets.revision() == "use 2"
    assert secrets.mask("a-password b-password") == "*** ***"


def test_a_password_that_is_no_text_is_told_as_an_edit_and_stops_nothing(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    files = {"password.used": b"in-use-pw", "password.next": b"\xff", ".rotation": b"\xff"}
    write_secret(tmp_path, {"password": b"\xff\xfe", **files})
    first = secrets.changed()
    assert first
    write_secret(tmp_path, {"password": b"\xff\xfd", **files})
    assert secrets.changed() not in ("", first), "each edit is told"
    assert (secrets.get("password"), secrets.get("password.also"), secrets.revision()) == ("in-use-pw", "in-use-pw", "")
    write_secret(tmp_path, {"password": b"in-use-pw", "password.used": b"\xff"})
    assert (secrets.get("password"), secrets.changed()) == ("in-use-pw", ""), "nobody has noted what is in use"
    write_secret(tmp_path, {"password": b"\xff"})
    with pytest.raises(UnknownSecretError, match="hold no 'password' that is UTF-8 text"):
        secrets.get("password")


def test_a_secret_that_nobody_has_noted_as_used_is_what_is_used(tmp_path: Path) -> None:
    write_secret(tmp_path, {"password": b"a-password"})
    secrets = Secrets(tmp_path)
    assert (secrets.get("password"), secrets.get("password.also")) == ("a-password", "a-password")
    assert (secrets.changed(), secrets.revision()) == ("", "")


@pytest.mark.parametrize(
    "printed",
    [
        'requirepass "it\'s \\"so\\" \\\\ said"',
        "identified by 'it\\'s \"so\" \\\\ said'",
        "identified by 'it''s \"so\" \\ said'",
        "identified by 'it''s \"so\" \\\\ said'",
        "amqp://user:it%27s%20%22so%22%20%5C%20said@host",
        'password: it\'s "so" \\ said',
    ],
)
def test_a_secret_is_masked_however_it_is_quoted(tmp_path: Path, printed: str) -> None:
    write_secret(tmp_path, {"password": b'it\'s "so" \\ said'})
    masked = Secrets(tmp_path).mask(printed)
    assert "***" in masked
    assert "so" not in masked


def test_each_line_of_a_key_is_masked(tmp_path: Path) -> None:
    write_secret(tmp_path, {"tls.key": b"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nshort\n-----END KEY-----\n"})
    assert Secrets(tmp_path).mask("at line 2: MIIEvQIBADANBgkqhkiG") == "at line 2: ***"


def test_a_secret_that_could_not_be_read_is_masked_once_it_can(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    write_secret(tmp_path, {"password": b"the-value", "token": b"longer-the-value"})
    (tmp_path / "..data" / "password").rename(tmp_path / "..data" / "elsewhere")
    assert secrets.mask("longer-the-value the-value") == "*** the-value"
    (tmp_path / "..data" / "elsewhere").rename(tmp_path / "..data" / "password")
    assert secrets.mask("longer-the-value the-value") == "*** ***"


def test_a_quoted_secret_is_masked_too(tmp_path: Path) -> None:
    (tmp_path / "password").write_text('say "no"\n')
    secrets = Secrets(tmp_path)
    with (scope := Scope({}, {}, secrets)).with_secrets():
        written = text("pass {{ secret.password | quoted }}")(scope)
    assert written == 'pass "say \\"no\\""'
    assert "no" not in secrets.mask(f'{written} and say "no"')
