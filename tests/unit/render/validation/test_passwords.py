"""A password that cannot be written or kept is refused with the reason, before anything is touched."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from language.quoting import QUOTINGS
from render.desired.app import DesiredApp
from render.lint.plugin import errors, lint
from render.plugin.bundle import folder_files
from render.validation.passwords import password_problems
from tests.unit.activities.support.cluster import NAME, NAMESPACE, World
from tests.unit.plugins.support import PLUGINS, wanted
from tests.unit.render.support import FILES, PARAMETERS, TOOLS, store, with_tools
from tests.unit.render.support import found_by_lint as found


def said(of: DesiredApp, value: bytes) -> str:
    secret: dict[str, Any] = {"data": {"password": base64.b64encode(value).decode()}}
    return "; ".join(map(str, password_problems(of, secret)))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"first\nrename-command FLUSHALL x", "has a line break"),
        (b"nul\x00", "control character"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8 text"),
    ],
)
@pytest.mark.parametrize("topology", ["standalone", "replication", "sentinel"])
def test_what_cannot_be_written_is_refused_in_every_topology(topology: str, value: bytes, words: str) -> None:
    message = said(wanted("redis", topology), value)
    assert message.startswith("Secret orders-credentials: password: ")
    assert words in message
    assert value.decode(errors="replace").strip() not in message or not value.strip()


@pytest.mark.parametrize(("value", "sign"), [(b"two words", "a space"), (b'say"no"', '"'), (b"it's", "'")])
@pytest.mark.parametrize("plugin", ["redis", "redis-1.1"])
def test_what_sentinel_cannot_keep_is_refused_where_there_is_one(plugin: str, value: bytes, sign: str) -> None:
    message = said(wanted(plugin, "sentinel"), value)
    assert f"may not have {sign}" in message
    assert "because Sentinel writes it into its own file" in message
    assert said(wanted(plugin, "replication"), value) == ""


@pytest.mark.parametrize("value", [b"good", b"good\n", b"back\\slash", b"a#b", "ümläut".encode()])
def test_every_other_password_is_taken(value: bytes) -> None:
    assert said(wanted("redis", "sentinel"), value) == ""


async def test_an_app_with_such_a_password_is_refused_and_nothing_is_made() -> None:
    world = World(components=store(replicas=2))
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{NAME}-credentials", "namespace": NAMESPACE, "labels": {"middleware.io/app": NAME}},
        "data": {"password": base64.b64encode(b"a\nb").decode()},
    }
    world.cluster.put(secret)
    snapshot = await world.load()
    assert snapshot.operation == ""
    assert "Secret books-credentials: password: has a line break" in snapshot.refusal
    assert world.names("Deployment") == []


# What an author of a plugin hears

OPEN = PARAMETERS + "motto: {schema: {type: string}}\n"
CONF = FILES["shelf.conf.j2"]


def test_a_secret_that_stands_as_it_is_keeps_a_plugin_from_being_installed() -> None:
    assert (
        found(
            shelf_conf_j2=CONF
            + "pass {{ atStart.secret.password | quoted }}\nother {{ atStart.secret.password|raw }}\n"
        )
        == ""
    )
    message = found(shelf_conf_j2=CONF + "pass {{ atStart.secret.password }}\n")
    assert message.startswith("shelf.conf.j2:6:9: atStart.secret.password stands as it is")
    assert "{{ atStart.secret.password | quoted }}" in message
    tools = TOOLS.replace("send: role", 'send: "AUTH {{ secret.password }}"')
    message = found(tools_yaml=tools)
    assert message.startswith("tools.yaml:7:42: tools.getRole.steps[0].tcp.send: secret.password stands as it is")
    assert "{{ secret.password | quoted }}" in message
    assert found(tools_yaml=tools.replace("secret.password", "secret.password | quoted")) == ""
    written = "preStart: {steps: [{write: {path: /middleware/x, content: 'pass {{ alsoValid.password }}'}}]}\n"
    assert "alsoValid.password stands as it is" in found(tools_yaml=with_tools(written))


def test_a_parameter_of_any_text_that_stands_as_it_is_keeps_a_plugin_from_being_installed() -> None:
    assert "shelf.conf.j2:2:12: parameter motto may be any text" in found(parameters_yaml=OPEN)
    quoted = CONF.replace("{{ value | yesno }}", "{{ value | quoted }}")
    assert found(parameters_yaml=OPEN, shelf_conf_j2=quoted) == ""
    assert found(parameters_yaml=OPEN.replace("type: string}}", "type: string, pattern: '^[a-z]*$'}}")) == ""


@pytest.mark.parametrize("plugin", ["redis", "redis-1.1", "zookeeper"])
def test_the_plugins_here_quote_what_they_insert(plugin: str) -> None:
    assert errors(lint(folder_files(PLUGINS / plugin))) == []


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("quoted", 'a "b" \\ \n\x01 ü', '"a \\"b\\" \\\\ \\n\\x01 ü"'),
        ("json", 'a "b"\n', '"a \\"b\\"\\n"'),
        ("properties", "a =#:!\\\tü", "a\\ \\=\\#\\:\\!\\\\\\t\\u00fc"),
        ("raw", 'a "b"', 'a "b"'),
    ],
)
def test_a_text_is_written_as_its_place_takes_it(name: str, text: str, written: str) -> None:
    assert QUOTINGS[name](text) == written
