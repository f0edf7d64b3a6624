"""`mw connect`: which node, and a command that shows no secret and interprets nothing of what it is given."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from pydantic import ValidationError

from api.plugin import ClientProgram, Plugin
from cli import client
from cli.nodes import Node
from cli.session import CommandError
from cli.status import Loaded
from clients.kubernetes import Kubernetes
from render.plugin.bundle import load_folder
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import DEFINITION, shelf, store
from tests.unit.watcher.support.objects import app as app_object
from tests.unit.watcher.support.objects import component

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
SERVERS = [Node(f"cache-redis-server-data-{n}", "redis-server", f"pod-{n}", n > 0) for n in range(2)]
SENTINEL = Node("cache-redis-sentinel-data-0", "redis-sentinel", "pod-s", True)


@pytest.fixture(scope="module")
def redis() -> Plugin:
    return load_folder(PLUGINS / "redis").plugin


def loaded(primary: str = "") -> Loaded:
    server = {**component("redis-server"), "status": {"primary": primary} if primary else {}}
    return Loaded(app_object(), [component("redis-sentinel"), server])


def test_the_secret_is_read_in_the_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p'w $(id)\n")
    monkeypatch.setattr(client, "SECRETS", str(tmp_path))
    program = ClientProgram(
        command=["sh", "-c", 'printf "%s|" "$TOKEN" "$PLAIN" "$@"', "sh"],
        env={"TOKEN": "a b:{{ secret.password }}", "PLAIN": "$HOME `id`"},
    )
    command = client.shell_command(program, ["x y", "$(id)"])
    assert "p'w" not in " ".join(command)
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    assert run.stdout == "a b:p'w $(id)|$HOME `id`|x y|$(id)|"
    (tmp_path / "password.used").write_text("in use\n")
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    assert run.stdout.startswith("a b:in use|"), "an edit is not what the engine lets in yet"


def test_without_its_secret_the_client_does_not_begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(client, "SECRETS", str(tmp_path))
    program = ClientProgram(command=["echo", "began"], env={"TOKEN": "{{ secret.password }}"})
    run = subprocess.run(client.shell_command(program, []), capture_output=True, text=True, check=False, timeout=10)
    assert run.returncode != 0
    assert run.stdout == ""


@pytest.mark.parametrize("folder", [path.parent.name for path in sorted(PLUGINS.glob("*/plugin.yaml"))])
def test_every_component_of_our_plugins_has_a_client(folder: str) -> None:
    assert all(each.client is not None for each in load_folder(PLUGINS / folder).plugin.spec.components)


def test_a_secret_in_an_argument_is_refused() -> None:
    with pytest.raises(ValidationError, match="by env"):
        ClientProgram(command=["redis-cli", "-a", "{{ secret.password }}"])
    with pytest.raises(ValidationError, match="only"):
        ClientProgram(command=["redis-cli"], env={"A": "{{ node.name }}"})


def test_the_primary_is_chosen_else_a_node_that_is_ready(redis: Plugin) -> None:
    nodes = [SENTINEL, *SERVERS]
    primary = client.choose(loaded(SERVERS[0].name), nodes, redis, "", "")
    assert primary.node == SERVERS[0]
    assert client.choose(loaded(), nodes, redis, "redis-server", "").node == SERVERS[1]
    assert client.choose(loaded(SERVERS[0].name), nodes, redis, "redis-sentinel", "").node == SENTINEL
    assert client.choose(loaded(), nodes, redis, "", "redis-server-data-0").node == SERVERS[0]


def test_a_client_is_not_opened_where_no_engine_runs(redis: Plugin) -> None:
    down = replace(SERVERS[0], runs=False, reason="cannot be scheduled: 0/1 nodes are available")
    with pytest.raises(CommandError, match=f"the engine of {down.name} does not run now: cannot be scheduled"):
        client.choose(loaded(down.name), [down], redis, "", "")


def test_what_cannot_be_opened_is_said(redis: Plugin) -> None:
    with pytest.raises(CommandError, match="has no component mysql"):
        client.choose(loaded(), SERVERS, redis, "mysql", "")
    with pytest.raises(CommandError, match="no node other has a Pod; there are"):
        client.choose(loaded(), SERVERS, redis, "", "other")
    components = [each.model_copy(update={"client": None}) for each in redis.spec.components]
    bare = redis.model_copy(update={"spec": redis.spec.model_copy(update={"components": components})})
    with pytest.raises(CommandError, match="declares no client for redis-server"):
        client.choose(loaded(), SERVERS, bare, "redis-server", "")


async def test_the_client_is_that_of_the_plugin_that_runs() -> None:
    """A refused edit, to a version that nobody has installed, kept people from an engine that served."""
    definition = DEFINITION.replace("    image: shelf\n", "    image: shelf\n    client: {command: [shelf-cli]}\n", 1)
    world = await World(shelf(plugin_yaml=definition), runtimeVersion="1", components=store(replicas=2)).deployed()
    pod = world.pod("books-store-g-0")
    pod["status"]["containerStatuses"] = [{"name": "middleware", "state": {"running": {}}}]
    world.edit(plugin={"name": "shelf", "version": "9.9.9"})
    found = await client.connection(cast(Kubernetes, world.cluster), "library", "books", "", "books-store-g-0")
    assert (found.node.pod, found.client.command) == (pod["metadata"]["name"], ["shelf-cli"])
