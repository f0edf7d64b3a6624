"""The command line as a person meets it: exit codes, and one sentence where something is wrong."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.main import app
from cli.session import kubeconfig_path
from cli.status import Loaded, app_json, is_ready, table, tree
from tests.unit.watcher.support.objects import app as app_object
from tests.unit.watcher.support.objects import component, group

runner = CliRunner()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A person without any cluster."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MW_STATE", str(tmp_path / "state"))
    return tmp_path


def test_without_a_cluster_one_is_told_how_to_get_one(nowhere: Path) -> None:
    result = runner.invoke(app, ["status"])
    assert result.exit_code == 1
    assert "make up" in result.output


def test_kubectl_without_an_embedded_cluster(nowhere: Path) -> None:
    result = runner.invoke(app, ["kubectl", "--", "get", "pods"])
    assert result.exit_code == 1
    assert "make up" in result.output


def test_wrong_usage_is_told_apart(nowhere: Path) -> None:
    assert runner.invoke(app, ["install"]).exit_code == 2
    assert runner.invoke(app, ["plugin", "install", "/no/such/folder"]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["install", "--temporal-address", "t:7233"], {"installation": "default", "temporalAddress": "t:7233"}),
        (["install-pki"], {"secrets": ["platform-ca", "platform-client"], "until": "2027-01-01T00:00:00+00:00"}),
        (["plugin", "install", "."], {"message": "installed"}),
    ],
)
def test_what_is_installed_is_said_to_scripts_too(
    monkeypatch: pytest.MonkeyPatch, words: list[str], said: dict[str, Any]
) -> None:
    async def install(*given: Any) -> str:
        if callable(given[-1]):
            given[-1]("CRDs: apps")
        return "installed"

    async def pki(*_: Any) -> tuple[None, SimpleNamespace]:
        return None, SimpleNamespace(not_after=datetime(2027, 1, 1, tzinfo=UTC))

    for module in ("cli.main", "cli.commands_plugins"):
        monkeypatch.setattr(f"{module}.with_cluster", lambda _, work: asyncio.run(work(None)))
    monkeypatch.setattr("cli.main.installation.install", install)
    monkeypatch.setattr("cli.commands_plugins.plugins.install", install)
    monkeypatch.setattr("cli.main.ensure_pki", pki)
    result = runner.invoke(app, [*words, "-o", "json"])
    assert result.exit_code == 0
    assert said.items() <= json.loads(result.stdout).items(), "progress goes to stderr"


def test_which_kubeconfig(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kubeconfig_path(None) is None
    (nowhere / "state").mkdir()
    (nowhere / "state" / "kubeconfig").touch()
    assert kubeconfig_path(None) == str(nowhere / "state" / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", "/somewhere")
    assert kubeconfig_path(None) == "/somewhere"
    assert kubeconfig_path("/given") == "/given"


def loaded(ready: bool) -> Loaded:
    condition = {
        "type": "Ready",
        "status": str(ready),
        "reason": "NodesNotReady",
        "message": "1 of 2 [nodes] are ready",
    }
    operation = {
        "type": "Deploy",
        "state": "Running",
        "step": "redis/data: wait",
        "workflowId": "default/app/demo/cache",
    }
    endpoints = [{"name": "cache-redis", "address": "cache-redis.demo.svc:6379"}]
    one = app_object(phase="Running", ready="1/2", conditions=[condition], operation=operation, endpoints=endpoints)
    nodes = [
        {"name": "cache-redis-data-0", "role": "master", "ready": True, "pod": "p", "message": ""},
        {"name": "cache-redis-data-1", "role": "", "ready": False, "pod": "", "message": "has no Pod"},
    ]
    part = {**component("redis"), "status": {"ready": 1, "total": 2, "primary": "cache-redis-data-0"}}
    whole = {**group("redis", 2), "status": {"ready": 1, "replicas": 2, "nodes": nodes}}
    return Loaded(one, [part], [whole])


def printed(what: object) -> str:
    console = Console(width=200, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115 - closed with the console
    with console.file:
        console.print(what)
    return console.export_text()


def test_the_tree_shows_nodes_roles_step_and_reason() -> None:
    text = printed(tree(loaded(ready=False)))
    for part in (
        "demo/cache", "NodesNotReady: 1 of 2 [nodes] are ready", "Deploy Running, redis/data: wait",
        "cache-redis.demo.svc:6379", "cache-redis-data-0  master  ready", "cache-redis-data-1  not ready  has no Pod",
    ):  # fmt: skip
        assert part in text


def test_while_versions_move_each_node_shows_its_own() -> None:
    still = loaded(ready=True)
    moving = replace(still, versions={"cache-redis-data-0": "8.0"}, plugin_version="0.9.0")
    text = printed(tree(moving))
    assert "redis 0.9.0 (to be 1.0.0)" in text
    assert "cache-redis-data-0  master  ready  8.0" in text
    assert app_json(moving)["engineVersions"] == {"cache-redis-data-0": "8.0"}
    assert "to be" not in printed(tree(still))


def test_the_table_says_why_an_app_is_not_ready() -> None:
    assert "NodesNotReady" in printed(table([loaded(ready=False)]))
    assert "NodesNotReady" not in printed(table([loaded(ready=True)]))


def test_json_is_data_for_scripts() -> None:
    data = app_json(loaded(ready=True))
    assert data["isReady"]
    assert is_ready(loaded(ready=True).app)
    assert data["groups"][0]["status"]["nodes"][0]["role"] == "master"
