"""Records the histories that the replay test runs: ``python -m tests.replay.record``.

Run it when a change to a workflow is meant, and released workflows are patched (``workflow.patched``) or have
ended. Histories of releases stay beside the new ones: name the directory after the release.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from temporalio.client import Client

from api.operations import NoticeKind
from api.steps import ComponentPlan, GroupPlan, Plan
from tests.workflows.fakes import FakeCluster
from tests.workflows.running import entity, notify, start_by_hand, workers
from tests.workflows.server import dev_server

HISTORIES = Path(__file__).parent / "histories"


async def play(client: Client, cluster: FakeCluster) -> None:
    """One App's life: held start, drift, pause and a corrected spec, by hand, a failure, deletion."""
    app = cluster.add("x")
    first = app.plan.components[0]
    app.plan = Plan([replace(first, kept=True), *app.plan.components[1:]])
    await notify(client, "x")
    await cluster.until(lambda: "x/finish" in cluster.log)
    app.plan = Plan([first, ComponentPlan("sentinel", [GroupPlan("watch", ["x-sentinel-watch-0"])], ["server"])])
    await (await start_by_hand(client, "x")).result()
    await cluster.change("x", drift=["Deployment x-server-data-0 is missing"])
    await notify(client, "x", NoticeKind.DRIFT)
    await cluster.until(lambda: cluster.steps("x").count("finish") == 2)
    await cluster.change("x", generation=2, spec_hash="two", blocked={"server"})
    waits = cluster.steps("x").count("waitReady:server")
    await notify(client, "x")
    await cluster.until(lambda: cluster.steps("x").count("waitReady:server") > waits)
    await cluster.change("x", generation=3, spec_hash="three", blocked=set())
    await notify(client, "x")
    await cluster.until(lambda: cluster.steps("x").count("finish") == 3)
    app.failing = {"prepare": "it is refused"}
    await cluster.change("x", generation=4, spec_hash="four")
    await notify(client, "x")
    await cluster.until(lambda: app.reports and app.reports[-1].failed_operation)
    await cluster.change("x", deleting=True)
    await notify(client, "x")
    await entity(client, "x").result()


async def record() -> dict[str, str]:
    """File name -> history of each workflow that ran."""
    cluster, histories = FakeCluster(), {}
    async with dev_server() as environment:
        client = environment.client
        async with workers(client, cluster):
            await play(client, cluster)
        async for found in client.list_workflows():
            history = await client.get_workflow_handle(found.id, run_id=found.run_id).fetch_history()
            name = found.id.replace("/", "~") + (f"@{found.run_id[:8]}" if found.workflow_type == "App" else "")
            histories[f"{name}.json"] = history.to_json() + "\n"
    return histories


def main(release: str) -> None:
    directory = HISTORIES / release
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    histories = asyncio.run(record())
    for name, text in histories.items():
        (directory / name).write_text(text, encoding="utf-8")
    print(f"{len(histories)} histories in {directory}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "0.1.0")
