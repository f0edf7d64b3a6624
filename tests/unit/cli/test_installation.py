"""What `mw install` decides: which CRDs, which values for Helm, and what it says where something is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from api.names import API_VERSION, FINALIZER, SYSTEM_NAMESPACE
from cli import uninstall
from cli.installation import CHART, CRDS, Options, crd_variant, find_helm, helm_arguments, read_crds
from cli.session import CommandError
from cli.uninstall import Apps
from clients.kubernetes import Kubernetes
from clients.resources import APP, Resource
from deploy.images.catalog import platform_version
from tests.unit.watcher.support.fakes import Administrators


@pytest.mark.parametrize(
    ("version", "variant"), [((1, 20), "v1-without-cel"), ((1, 24), "v1-without-cel"), ((1, 25), "v1"), ((1, 34), "v1")]
)
def test_the_crds_fit_the_api_server(version: tuple[int, int], variant: str) -> None:
    assert crd_variant(version) == variant
    assert set(read_crds(CRDS / variant)) == {f"{kind}.middleware.io" for kind in ("apps", "components", "groups")}


def test_an_api_server_that_is_too_old_is_refused() -> None:
    with pytest.raises(CommandError, match=r"1\.20 or later"):
        crd_variant((1, 19))


def test_a_folder_without_crds_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--crds"):
        read_crds(tmp_path)


def test_helm_gets_what_the_platform_needs() -> None:
    options = Options("temporal:7233", "production", "east", ("worker.replicas=3",), CHART, CRDS)
    arguments = helm_arguments(options)
    assert arguments[:4] == ["upgrade", "--install", "middleware-platform", str(CHART)]
    values = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--set"]
    assert values == [
        "temporal.address=temporal:7233",
        "temporal.namespace=production",
        "installation=east",
        "worker.replicas=3",
    ]
    assert CHART.joinpath("Chart.yaml").exists()


def test_the_chart_has_the_version_of_the_images_that_it_names() -> None:
    chart = yaml.safe_load(CHART.joinpath("Chart.yaml").read_text(encoding="utf-8"))
    assert {chart["version"], chart["appVersion"]} == {platform_version()}


def test_without_helm_one_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MW_STATE", str(tmp_path))
    with pytest.raises(CommandError, match="install Helm"):
        find_helm()


# mw uninstall


class Uninstalled(Administrators):
    """Apps whose platform takes them down, where one runs. ``done``: what was removed beside objects."""

    def __init__(self, *names: str, platform: bool = True) -> None:
        super().__init__()
        self.platform, self.done = platform, list[str]()
        for name in names:
            metadata = {"name": name, "namespace": "demo", "uid": name, "finalizers": [FINALIZER, "other/one"]}
            self.put({"apiVersion": API_VERSION, "kind": "App", "metadata": metadata, "spec": {}})
        for name in ("platform-ca", "platform-client"):
            self.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE}})
        labels = {"owner": "helm", "name": "middleware-platform"}
        release = {"name": "release", "namespace": SYSTEM_NAMESPACE, "labels": labels}
        self.put({"apiVersion": "v1", "kind": "Secret", "metadata": release})

    async def delete(self, resource: Resource, name: str, namespace: str | None = None, **_: Any) -> bool:
        found = self.objects.get((resource.kind, namespace or "", name))
        if found is None:
            return False
        if resource is not APP or self.platform:
            self.remove(found)
        return True

    async def call(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        self.done.append(f"{method} {path.rsplit('/', 1)[1]}")
        return {}

    def left(self, kind: str) -> list[str]:
        return [name for what, _, name in self.objects if what == kind]


@pytest.fixture
def helm(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What Helm was called with."""
    calls: list[list[str]] = []

    async def run(_helm: str, arguments: list[str], _kubeconfig: str | None) -> None:
        calls.append(arguments)

    monkeypatch.setattr(uninstall, "find_helm", lambda: "helm")
    monkeypatch.setattr(uninstall, "run_helm", run)
    monkeypatch.setattr(uninstall, "_LOOK_SECONDS", 0.01)
    return calls


async def removed(cluster: Uninstalled, apps: Apps | None, seconds: float = 5) -> str:
    said: list[str] = []
    await uninstall.uninstall(cast(Kubernetes, cluster), apps, seconds, None, said.append)
    return "\n".join(said)


async def test_uninstalling_is_refused_while_there_are_apps(helm: list[list[str]]) -> None:
    cluster = Uninstalled("orders", "cache")
    with pytest.raises(
        CommandError, match=r"Apps demo/cache, demo/orders are still there; .*--apps delete.*--apps keep"
    ):
        await removed(cluster, None)
    assert (helm, cluster.done, cluster.left("App")) == ([], [], ["orders", "cache"])


async def test_apps_are_deleted_before_anything_of_the_platform(helm: list[list[str]]) -> None:
    cluster = Uninstalled("orders")
    await removed(cluster, Apps.DELETE)
    assert (cluster.left("App"), cluster.left("Secret")) == ([], ["release"])
    assert helm[0][:2] == ["uninstall", "middleware-platform"]
    assert sorted(cluster.done) == [f"DELETE {kind}.middleware.io" for kind in ("apps", "components", "groups")]


async def test_what_cannot_be_deleted_keeps_the_platform(helm: list[list[str]]) -> None:
    cluster = Uninstalled("orders", platform=False)
    with pytest.raises(
        CommandError, match="App demo/orders could not be deleted within 0 s, so nothing was uninstalled"
    ):
        await removed(cluster, Apps.DELETE, 0.05)
    assert (helm, cluster.done, len(cluster.left("Secret"))) == ([], [], 3)


async def test_apps_that_are_kept_can_be_deleted_by_hand_later_and_their_crds_stay(helm: list[list[str]]) -> None:
    cluster = Uninstalled("orders", platform=False)
    said = await removed(cluster, Apps.KEEP)
    assert "With nobody to look after them there are still App demo/orders" in said
    assert cluster.get_now("App", "demo", "orders")["metadata"]["finalizers"] == ["other/one"]
    assert (len(helm), cluster.done, len(cluster.left("Secret"))) == (1, [], 3)
