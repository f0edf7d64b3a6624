"""Files of the Redis plugin: protected from the start, known by stable addresses, sized by the node."""

from __future__ import annotations

import re

import pytest

from render.lint.plugin import lint
from render.plugin.at_start import CLOSE, OPEN
from render.plugin.bundle import folder_files
from tests.unit.plugins.support import NETWORK, PLUGINS, files, wanted

_PATTERN = re.compile(r"""(?:matching|captured)\(\\?['"](.*?)['"]\)|pattern: (.*)""")


def at_start(expression: str) -> str:
    """As the file holds what the agent fills in."""
    return f"{OPEN}{expression}{CLOSE}"


@pytest.mark.parametrize("plugin", ["redis", "redis-1.1", "zookeeper"])
def test_plugins_pass_their_own_installation_check(plugin: str) -> None:
    """Warnings too: what others are advised, ours do."""
    assert lint(folder_files(PLUGINS / plugin)) == []


@pytest.mark.parametrize("plugin", ["redis", "redis-1.1", "zookeeper"])
def test_plugins_are_small_and_hold_no_code(plugin: str) -> None:
    """And what is there can be read: a newcomer's eye takes in 120 characters, and a short regular expression."""
    found = [path for path in (PLUGINS / plugin).rglob("*") if path.is_file()]
    assert {path.suffix for path in found} <= {".yaml", ".j2"}
    lines = {path: path.read_text().splitlines() for path in found}
    assert sum(len(lines[path]) for path in found if path.parent.name in ("tools", "templates")) <= 1020
    assert [line for path in found for line in lines[path] if len(line) > 120] == []
    patterns = [each for path in found for line in lines[path] for each in _PATTERN.findall(line)]
    assert [pattern for pattern in patterns if len(pattern) > 60] == []


@pytest.mark.parametrize("topology", ["standalone", "replication", "sentinel"])
@pytest.mark.parametrize("version", ["6.0", "7.0", "8.0"])
def test_no_server_starts_without_a_password(topology: str, version: str) -> None:
    text = files(wanted("redis", topology, version), "redis-server")["middleware__conf__redis.conf"]
    password = at_start("secret.password | quoted")
    assert f"\nrequirepass {password}\n" in text
    assert f"\nmasterauth {password}\n" in text
    assert "\nappendonly yes\n" in text
    assert f"\nreplica-announce-ip {NETWORK}.1\n" in text


def test_old_servers_get_only_directives_they_know() -> None:
    text = "".join(
        files(wanted("redis", "sentinel", "6.0"), name)[key]
        for name, key in (
            ("redis-server", "middleware__conf__redis.conf"),
            ("redis-sentinel", "middleware__conf__sentinel.conf"),
        )
    )
    assert "resolve-hostnames" not in text
    assert re.findall(r"^save .*", text, re.M) == ["save 3600 1", "save 300 100", "save 60 10000"], "one pair per line"


@pytest.mark.parametrize(("replicas", "needed"), [(2, "0"), (3, "1")])
def test_a_primary_insists_on_a_replica_only_from_three_nodes(replicas: int, needed: str) -> None:
    text = files(wanted("redis", "sentinel", redis_server=replicas), "redis-server")["middleware__conf__redis.conf"]
    assert f"\nmin-replicas-to-write {needed}\n" in text


def test_sentinel_keeps_its_own_file_and_needs_a_majority() -> None:
    d = wanted("redis", "sentinel", redis_server=2, redis_sentinel=5)
    text = files(d, "redis-sentinel")["middleware__conf__sentinel.conf"]
    assert f"sentinel monitor orders {at_start('preStart.primary')} 6379 {at_start('preStart.quorum')}\n" in text
    assert "sentinel deny-scripts-reconfig yes\n" in text
    (declared,) = d.component("redis-sentinel").definition.files
    assert declared.write == "once"
    assert d.component("redis-sentinel").groups[0].spec.storage is not None


def test_no_secret_is_in_a_config_map() -> None:
    for name in ("redis-server", "redis-sentinel"):
        for text in files(wanted("redis", "sentinel"), name).values():
            if OPEN not in text:
                continue
            held = {each for each in re.findall(f"{OPEN}([^{CLOSE}]*){CLOSE}", text) if not each.startswith("preStart")}
            assert held <= {"secret.password | quoted", "alsoValid.password | quoted"}


def test_the_ensemble_of_zookeeper_is_known_to_each_member() -> None:
    d = wanted("zookeeper")
    data = files(d, "zookeeper", 2)
    assert data["middleware__data__myid"] == "3\n"
    assert data["middleware__conf__members.cfg"].splitlines() == [
        f"server.{n}={NETWORK}.{n}:2888:3888:participant;0.0.0.0:2181" for n in (1, 2, 3)
    ]
    assert "-Xmx256m\n" in data["middleware__conf__java.options"]
    assert "admin.enableServer=false\n" in data["middleware__conf__zoo.cfg"]
