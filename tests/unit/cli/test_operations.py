"""The commands for day-2 operations as a person meets them, without a cluster; and where they look for Temporal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from api.group import AgentBundle
from api.operations import EntityStatus, Verb
from cli.history import Entry, query, spoken, table
from cli.main import app
from cli.operate import doing, stopped
from cli.platform import Found, Given, connect, find
from cli.session import CommandError
from clients.errors import ForbiddenError
from clients.kubernetes import Kubernetes
from tests.unit.cli.test_commands import printed

runner = CliRunner()
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "MW_INSTALLATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MW_STATE", str(tmp_path / "state"))


@pytest.mark.parametrize("command", ["history", *Verb, "restart", "switchover", "failover", "logs", "render"])
def test_every_command_says_what_to_do_without_a_cluster(command: str) -> None:
    result = runner.invoke(app, [command, "cache"])
    assert result.exit_code == 1
    assert "make up" in result.output


@pytest.mark.parametrize(
    "words", [["status", "--watch", "-o", "json"], ["render"], ["logs", "cache", "node", "--primary"], ["pause"]]
)
def test_wrong_usage_is_told_apart(words: list[str]) -> None:
    assert runner.invoke(app, words).exit_code == 2


def test_the_exit_codes_are_in_the_help() -> None:
    assert "3 the App that was asked about is not Ready" in " ".join(runner.invoke(app, ["--help"]).output.split())


class FakeCluster:
    def __init__(self, answer: dict[str, Any] | Exception | None) -> None:
        self.answer = answer

    async def get(self, *_: Any) -> dict[str, Any] | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def found(answer: dict[str, Any] | Exception | None, given: Given) -> Found:
    return await find(cast(Kubernetes, FakeCluster(answer)), given)


def worker(**settings: str) -> dict[str, Any]:
    variables = [{"name": name, "value": value} for name, value in settings.items()]
    variables.append({"name": "POD_NAME", "valueFrom": {}})  # type: ignore[dict-item]
    return {"spec": {"template": {"spec": {"containers": [{"env": variables}]}}}}


async def test_the_worker_says_where_temporal_is() -> None:
    manifest = worker(TEMPORAL_ADDRESS="t:7233", TEMPORAL_NAMESPACE="n", MW_INSTALLATION="east", MW_AGENT_IMAGE="a:1")
    assert await found(manifest, Given()) == Found("t:7233", "n", "east", AgentBundle(image="a:1"))
    assert await found(manifest, Given(None, "mine:1", "m", "west")) == Found(
        "mine:1", "m", "west", AgentBundle(image="a:1")
    )


@pytest.mark.parametrize("answer", [None, ForbiddenError("reading", 403, "Forbidden", "no")])
async def test_without_a_worker_the_defaults_hold(answer: Exception | None) -> None:
    assert await found(answer, Given()) == Found("localhost:7233", "default", "default", AgentBundle(image=""))


async def test_a_temporal_that_is_away_is_not_waited_for_for_ever() -> None:
    with pytest.raises(CommandError, match=r"127\.0\.0\.1:9 cannot be reached.*TEMPORAL_ADDRESS"):
        await connect(Found("127.0.0.1:9", "default", "default", AgentBundle(image="")))


def test_history_is_readable() -> None:
    entry = Entry("Restart", "asked [by] ann", "failed", "no [node]", START, START + timedelta(seconds=125), "id")
    text = printed(table([entry]))
    for part in ("Restart", "failed", "2m05s", "asked [by] ann", "no [node]"):
        assert part in text
    assert entry.as_json()["seconds"] == 125
    assert "Nothing is known" in printed(table([]))
    assert "none has run yet" in printed(table([], exists=True))
    assert (spoken(timedelta(seconds=4.25)), spoken(timedelta(hours=2, minutes=7))) == ("4.2s", "2h07m")


def test_a_run_waits_for_its_turn_before_its_operation_and_not_after_it() -> None:
    """The step came first, and after it that the run waited for its turn."""

    def app_that(state: str) -> dict[str, Any]:
        return {"status": {"operation": {"type": "Switchover", "step": "a: move its role to b", "state": state}}}

    before = EntityStatus("Upgrade", "e/u/Upgrade/1", ["ticket-1"], requested_by="")
    own = EntityStatus("Switchover", "e/u/Switchover/1", ["ticket-1"], requested_by="own")
    after = EntityStatus("waiting for a change")
    assert doing(app_that("Completed"), before, "own") == "waits for its turn"
    assert doing(app_that("Completed"), own, "own") == "", "it begins"
    assert doing(app_that("Running"), own, "own") == "Switchover, a: move its role to b"
    assert doing(app_that("Completed"), after, "own") == ""
    assert doing(None, None, "own") == ""


def test_a_failover_is_not_said_to_wait_behind_what_is_stopped() -> None:
    """It goes first; who waits for it was told within a second that it would not."""
    status = EntityStatus("Upgrade: 7.0 → 8.0", "e/u/Upgrade/1", state="stopped", message="no image", requested_by="")
    assert stopped(status, "by-hand/demo/cache/Failover/1", "cache") == ""
    assert stopped(status, "by-hand/demo/cache/Switchover/1", "cache").startswith(
        "by-hand/demo/cache/Switchover/1 is queued behind e/u/Upgrade/1, which waits for an operator: no image; then:"
    )


def test_the_filter_quotes_what_was_typed() -> None:
    assert 'MiddlewareApp = "a\\" OR \\"b"' in query("demo", 'a" OR "b')
