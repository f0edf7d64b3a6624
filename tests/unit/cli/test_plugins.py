"""A plugin's version is installed once; other content under it is refused, as is a version Apps cannot move to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import cast

import pytest

from cli.plugins import install, installed, installed_bundle, neighbours
from cli.session import CommandError
from clients.errors import ForbiddenError, KubernetesError
from clients.kubernetes import Kubernetes
from language.versions import version_key
from tests.unit.watcher.support.fakes import Administrators, FakeKubernetes

REDIS = Path(__file__).resolve().parents[3] / "plugins" / "redis"
DEFINITION = "plugin.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a real plugin that a test may change."""
    return Path(shutil.copytree(REDIS, tmp_path / "redis"))


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / DEFINITION).read_text()
    assert old in text
    (folder / DEFINITION).write_text(text.replace(old, new))


def client(kubernetes: FakeKubernetes) -> Kubernetes:
    return cast(Kubernetes, kubernetes)


async def test_a_version_is_installed_once_and_its_definition_last(folder: Path) -> None:
    kubernetes = Administrators()
    assert "1.0.0 installed" in await install(client(kubernetes), folder)
    created = [name for verb, name, _ in kubernetes.calls if verb == "create"]
    assert created[-1] == "plugin-redis-1.0.0"
    assert "installed already" in await install(client(kubernetes), folder)
    assert [name for verb, name, _ in kubernetes.calls if verb == "create"] == created


async def test_other_content_under_the_same_version_is_refused(folder: Path) -> None:
    kubernetes = Administrators()
    await install(client(kubernetes), folder)
    with (folder / "templates" / "redis.conf.j2").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(CommandError, match=r"raise metadata\.version"):
        await install(client(kubernetes), folder)


async def test_an_interrupted_installation_is_finished(folder: Path) -> None:
    kubernetes = Administrators()
    await install(client(kubernetes), folder)
    del kubernetes.objects["ConfigMap", "middleware-system", "plugin-redis-1.0.0"]
    assert "1.0.0 installed" in await install(client(kubernetes), folder)
    found = await installed(client(kubernetes))
    assert [(plugin.name, plugin.version) for plugin in found] == [("redis", "1.0.0")]


async def test_a_version_without_a_common_runtime_version_is_refused(folder: Path) -> None:
    kubernetes = Administrators()
    await install(client(kubernetes), folder)
    edit(folder, "version: 1.0.0", "version: 1.1.0")
    for version in ("6.0", "7.0", "8.0"):
        text = (folder / DEFINITION).read_text().replace(f'"{version}"', f'"9{version}"')
        (folder / DEFINITION).write_text(text)
    with pytest.raises(CommandError, match="no runtime version"):
        await install(client(kubernetes), folder)


async def test_a_broken_plugin_is_refused_with_the_file(folder: Path) -> None:
    (folder / "templates" / "redis.conf.j2").unlink()
    with pytest.raises(CommandError, match=r"templates/redis\.conf\.j2"):
        await install(client(Administrators()), folder)


def forbidden(verb: str, name: str) -> KubernetesError | None:
    return ForbiddenError("reading", 403, "Forbidden", "") if verb == "get" and name.startswith("plugin-") else None


async def test_who_may_not_read_plugins_is_told_what_to_ask_for(folder: Path) -> None:
    kubernetes = Administrators()
    kubernetes.fail = forbidden
    with pytest.raises(CommandError, match="--role=middleware-reader"):
        await installed_bundle(client(kubernetes), "redis", "1.0.0")


def test_versions_are_ordered_as_versions() -> None:
    versions = ["1.10.0", "1.2.0", "1.2.0-rc.2", "1.2.0-rc.10", "1.2.0-alpha"]
    assert sorted(versions, key=version_key) == ["1.2.0-alpha", "1.2.0-rc.2", "1.2.0-rc.10", "1.2.0", "1.10.0"]
    assert neighbours("1.2.0", ["1.0.0", "1.1.0", "1.10.0", "2.0.0"]) == ("1.1.0", "1.10.0")
    assert neighbours("1.0.0", []) == (None, None)
