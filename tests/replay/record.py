"""Records the histories that the replay test runs: ``python -m tests.replay.record [RELEASE [APP ...]]``.

Run it when a change to a workflow is meant, and released workflows are patched (``workflow.patched``) or have
ended. Histories of releases stay beside the new ones: name the directory after the release. Where a life is new
(``LIVES``), name its App too: only its histories are written, and the others stay as they are.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from temporalio.client import Client

from api.operations import NoticeKind
from api.steps import ComponentPlan, ConfigPlan, ConfigPlans, Evacuation, GroupPlan, Plan, RollNode, ScalePlan
from tests.replay import branches
from tests.workflows.fakes import INSTALLATION, FakeCluster
from tests.workflows.running import NAMESPACE, entity, notify, say, start_by_hand, suspect, workers
from tests.workflows.server import dev_server

HISTORIES = Path(__file__).parent / "histories"
REPOSITORY = Path(__file__).resolve().parents[2]


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


NODES = [RollNode(f"y-server-data-{n}", "server", "data") for n in range(2)]


async def day2(client: Client, cluster: FakeCluster) -> None:
    """Another App's: each day-2 operation, an operator's words, a refusal, an abort, a Repair under a paused one."""
    app = cluster.add("y", deployed_hash="zero", operation="Upgrade", change="7.0 → 8.0")
    names = [node.name for node in NODES]
    app.rolls, app.writable, app.blocked = list(names), names[1], {names[0]}
    await notify(client, "y")
    await cluster.until(lambda: f"y/rollNode:{names[0]}" in cluster.log)
    await say(client, "y", "pause")
    await cluster.change("y", blocked=set())
    await cluster.until(lambda: app.states)
    await cluster.change("y", drift=["Service y is missing"])
    await notify(client, "y", NoticeKind.DRIFT)
    await cluster.until(lambda: [state.state for state in app.states].count("paused") == 2)
    app.failing = {f"rollNode:{names[1]}": "no image"}
    await say(client, "y", "resume")
    await cluster.until(lambda: app.states[-1].state == "stopped")
    app.failing = {}
    await say(client, "y", "retry")
    await cluster.until(lambda: cluster.steps("y").count("finish") == 2)
    scale = ScalePlan([ComponentPlan("server", [GroupPlan("data", ["y-server-data-2"])])], NODES[:1], ["server"])
    good = ConfigPlans([ConfigPlan("server", NODES, changed=["maxmemory"])])
    done = 2
    for kind in ("Scale", "UpgradePlugin", "Resize", "Reconfigure"):
        app.scale, app.config, app.rolls = scale, good, list(names)
        await cluster.change("y", operation=kind, change="what differs", spec_hash=kind)
        await notify(client, "y")
        done += 1
        await cluster.until(lambda done=done: cluster.steps("y").count("finish") == done)  # type: ignore[misc]
    app.rolls, app.writable = list(names), names[0]
    await (await start_by_hand(client, "y", "Restart")).result()
    app.writable = names[1]
    await (await start_by_hand(client, "y", "Switchover")).result()
    app.failing = {f"configureNode:{names[1]}": "-ERR"}
    await cluster.change("y", operation="Reconfigure", change="save", spec_hash="bad")
    await notify(client, "y")
    await cluster.until(lambda: app.reports and "was refused" in app.reports[-1].message)
    app.failing, app.rolls, app.blocked, app.writable = {}, list(names), {names[0]}, ""
    seen = cluster.steps("y").count(f"rollNode:{names[0]}")
    await cluster.change("y", operation="Upgrade", change="8.0 → 9.0", spec_hash="nine")
    await notify(client, "y")
    await cluster.until(lambda: cluster.steps("y").count(f"rollNode:{names[0]}") > seen)
    await say(client, "y", "abort")
    await cluster.until(lambda: "y/rollBack" in cluster.log)
    await cluster.change("y", blocked=set())
    await cluster.until(lambda: "was aborted" in app.reports[-1].message)
    await cluster.change("y", deleting=True)
    await notify(client, "y")
    await entity(client, "y").result()


async def drained(client: Client, cluster: FakeCluster) -> None:
    """A third one's machine is emptied: nobody can take over, then a move that fails, then one that does not."""
    app = cluster.add("z", deployed_hash="one")
    app.writable, nobody = "z-0", Evacuation("server", "z-0", "m1", message="machine m1 is cordoned: z-0 is master")
    await cluster.change("z", evacuations=[nobody])
    await notify(client, "z", NoticeKind.CORDON)
    await cluster.until(lambda: app.reports)
    app.failing = {"switchover": "it does not catch up"}
    await cluster.change("z", evacuations=[replace(nobody, candidate="z-1")])
    await notify(client, "z", NoticeKind.CORDON)
    await cluster.until(lambda: "catch up" in app.reports[-1].message)
    app.failing = {}
    await notify(client, "z", NoticeKind.CORDON)
    await cluster.until(lambda: app.writable != "z-0" and app.snapshot.told.endswith("|as wanted"))
    await cluster.change("z", deleting=True)
    await notify(client, "z")
    await entity(client, "z").result()


async def lost(client: Client, cluster: FakeCluster) -> None:
    """A fourth one loses its primary in mid-upgrade, and its successor within the cool-down; both are taken in again;
    then nobody can take over."""
    app = cluster.add("w", deployed_hash="zero", operation="Upgrade", change="7.0 → 8.0", cool_down=1)
    app.rolls, app.writable, app.blocked = ["w-1"], "w-0", {"w-1"}
    await notify(client, "w")
    await cluster.until(lambda: "w/rollNode:w-1" in cluster.log)
    await suspect(client, "w", "w-0")
    await cluster.until(lambda: any(step.startswith("readmit:w-0") for step in cluster.steps("w")))
    await cluster.change("w", blocked=set())
    await cluster.until(lambda: "finish" in cluster.steps("w"))
    await suspect(client, "w", "other")
    await cluster.until(lambda: any(step.startswith("readmit:other") for step in cluster.steps("w")))
    await suspect(client, "w", "w-0", back=True)
    await cluster.until(lambda: sum(step.startswith("readmit:w-0") for step in cluster.steps("w")) == 2)
    app.failing = {"planFailover": "nobody can take over"}
    await suspect(client, "w", "other")
    await cluster.until(lambda: app.reports and "nobody can take over" in app.reports[-1].message)
    app.failing = {}
    await (await start_by_hand(client, "w", "Failover", node="w-0")).result()
    await cluster.change("w", deleting=True)
    await notify(client, "w")
    await entity(client, "w").result()


async def told(client: Client, cluster: FakeCluster) -> None:
    """A fifth one's operator: goes on without what does not work, and aborts each operation; two ways back are
    interrupted, one by a lost primary and one by a second word."""
    nodes = [RollNode(f"v-{n}", "server", "data") for n in range(2)]
    app = cluster.add("v", deployed_hash="zero", operation="Resize", change="storage")
    app.rolls, app.failing = [nodes[0].name], {"expandVolumes": "the driver cannot"}
    app.scale = ScalePlan([ComponentPlan("server", [GroupPlan("data", ["v-2"])])], [], ["server"])
    app.config = ConfigPlans([ConfigPlan("server", nodes, restart=True, changed=["databases"])])
    await notify(client, "v")
    await cluster.until(lambda: app.states)
    await say(client, "v", "skip")
    await cluster.until(lambda: "finish" in cluster.steps("v"))
    app.failing = {}

    async def aborted(kind: str, step: str, back: str = "") -> None:
        """In the middle of ``step``; ``back``: a step of the way back, in which a primary is lost, or another abort
        said."""
        app.rolls, app.blocked = [node.name for node in nodes], {nodes[0].name, "server"}
        before, reports = len(cluster.steps("v")), len(app.reports)
        if kind == "Restart":
            await start_by_hand(client, "v", kind)
        else:
            await cluster.change("v", operation=kind, change="what differs", spec_hash=f"{kind}{back}")
            await notify(client, "v")
        await cluster.until(lambda: step in cluster.steps("v")[before:])
        await say(client, "v", "abort")
        if back:
            begun = len(cluster.steps("v"))
            await cluster.until(lambda: back in cluster.steps("v")[begun:])
            if kind == "Reconfigure":
                await suspect(client, "v", "v-9")
                await cluster.until(lambda: any(s.startswith("readmit:v-9") for s in cluster.steps("v")[begun:]))
            else:
                await say(client, "v", "abort")
        await cluster.change("v", blocked=set())
        if kind != "Restart":
            await cluster.until(lambda: any("was aborted" in each.message for each in app.reports[reports:]))

    await aborted("Reconfigure", "configureNode:v-0", "configureNode:v-0:back")
    await aborted("UpgradePlugin", "syncNodes:server")
    await aborted("Scale", "syncNodes:server")
    await aborted("Upgrade", "rollNode:v-0", "rollBack")
    await cluster.change("v", operation="", spec_hash="zero", deployed_hash="zero")
    await aborted("Restart", "rollNode:v-0")
    await cluster.change("v", deleting=True)
    await notify(client, "v")
    await entity(client, "v").result()


LIVES: dict[str, branches.Life] = {"x": play, "y": day2, "z": drained, "w": lost, "v": told} | branches.LIVES
"""By the name of the App."""


async def record(apps: list[str]) -> dict[str, str]:
    """File name -> history of each workflow that ran."""
    cluster, histories = FakeCluster(), {}
    async with dev_server() as environment:
        client = environment.client
        async with workers(client, cluster):
            for app in apps:
                await LIVES[app](client, cluster)
        async for found in client.list_workflows():
            history = await client.get_workflow_handle(found.id, run_id=found.run_id).fetch_history()
            name = found.id.replace("/", "~") + (f"@{found.run_id[:8]}" if found.workflow_type == "App" else "")
            # Stack traces of failures name files; where this clone lies is nobody's business.
            histories[f"{name}.json"] = history.to_json().replace(f"{REPOSITORY}/", "") + "\n"
    return histories


def forget(directory: Path, app: str) -> None:
    """What is stored of an App: a run of the entity has another id each time."""
    for pattern in (f"{INSTALLATION}~app~{NAMESPACE}~{app}[@~]*.json", f"by-hand-*-{app}.json"):
        for path in directory.glob(pattern):
            path.unlink()


def main(release: str, apps: list[str]) -> None:
    """``apps``: none for all."""
    if unknown := set(apps) - set(LIVES):
        raise SystemExit(f"no life of {', '.join(sorted(unknown))}: there are {', '.join(LIVES)}")
    directory = HISTORIES / release
    histories = asyncio.run(record(apps or list(LIVES)))
    if not apps:
        shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    for app in apps:
        forget(directory, app)
    for name, text in histories.items():
        (directory / name).write_text(text, encoding="utf-8")
    print(f"{len(histories)} histories in {directory}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "0.3.0", sys.argv[2:])
