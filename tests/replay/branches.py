"""Lives that take the branches which a patch made (``workflow.patched``) and no life in ``record`` comes to.

A patch that is in no stored history yet: take its branch in one of these, or in a new one in ``LIVES``, and record that
App alone (see ``record``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from temporalio.client import Client

from api.operations import NoticeKind
from api.steps import ComponentPlan, GroupPlan, Plan, Step
from tests.workflows.fakes import FakeCluster
from tests.workflows.running import doing, entity, eventually, idle, notify, operation, say, start_by_hand, suspect

Life = Callable[[Client, FakeCluster], Awaitable[None]]


async def replaced(client: Client, cluster: FakeCluster, app: str) -> None:
    """The App's primary is lost, and then replaced."""
    lost = cluster.apps[app].writable
    await suspect(client, app, lost)
    await cluster.until(lambda: any(step.startswith(f"readmit:{lost}") for step in cluster.steps(app)))


async def gone(client: Client, cluster: FakeCluster, app: str) -> None:
    """The App is deleted, and its entity ends."""
    await cluster.change(app, deleting=True)
    await notify(client, app)
    await entity(client, app).result()


async def mended(client: Client, cluster: FakeCluster) -> None:
    """New drift after a Repair that failed; a pause that is said to a Repair which is not needed any more when its turn
    comes again, and is not for the next one.

    ``new-drift-retries-repair``, ``forget-words-to-what-is-over``."""
    app = cluster.add("u", deployed_hash="one", drift=["Service u is missing"])
    app.plan, app.writable = Plan([ComponentPlan("server", [])]), "u-0"
    app.failing = {"prepare": "the quota is used up"}
    await notify(client, "u")
    await cluster.until(lambda: app.reports and "the quota" in app.reports[-1].message)
    app.failing = {}
    await cluster.change("u", drift=["ConfigMap u is missing", "Service u is missing"], blocked={"server"})
    await notify(client, "u", NoticeKind.DRIFT)
    await cluster.until(lambda: "syncNodes:server" in cluster.steps("u"))
    await say(client, "u", "pause")
    await cluster.change("u", drift=[])
    await replaced(client, cluster, "u")
    await cluster.change("u", blocked=set())
    await idle(client, "u")
    await cluster.change("u", drift=["Secret u is missing"])
    await notify(client, "u", NoticeKind.DRIFT)
    await cluster.until(lambda: "finish" in cluster.steps("u"))
    await gone(client, cluster, "u")


async def moved(client: Client, cluster: FakeCluster) -> None:
    """A primary is lost while an UpgradePlugin is at work, and the entity waits for a second look at what is missing;
    afterwards the UpgradePlugin goes before the drift that it has left.

    ``failover-ends-the-pause``, ``half-moved-plugin-first``."""
    app = cluster.add("t", deployed_hash="zero", operation="UpgradePlugin", change="1.0.0 → 1.1.0")
    app.writable, app.blocked = "t-0", {"server"}
    await notify(client, "t")
    await cluster.until(lambda: "syncNodes:server" in cluster.steps("t"))
    await cluster.change("t", drift=["Deployment t-0 is missing"])
    await notify(client, "t", NoticeKind.DRIFT)

    async def waits() -> bool:
        events = (await entity(client, "t").fetch_history()).events
        return any(b"is it still missing" in event.user_metadata.summary.data for event in events)

    await eventually(waits)
    await cluster.change("t", drift=["Deployment t-0 was changed: metadata.labels"])
    await replaced(client, cluster, "t")
    await cluster.change("t", blocked=set())
    await cluster.until(lambda: "finish" in cluster.steps("t"))
    await gone(client, cluster, "t")


async def ended(client: Client, cluster: FakeCluster) -> None:
    """An Upgrade is cancelled in Temporal; a primary is lost while the entity cannot look at the App; then somebody
    asks for the Upgrade by hand.

    ``cancelled-by-hand``, ``failover-ends-the-blindness``, ``asked-again-by-plan``."""
    app = cluster.add("s", deployed_hash="zero", operation="Upgrade", change="7.0 → 8.0")
    app.rolls, app.writable, app.blocked = ["s-1"], "s-0", {"s-1"}
    await notify(client, "s")
    await cluster.until(lambda: "rollNode:s-1" in cluster.steps("s"))
    await operation(client, "s", "Upgrade", 1).cancel()
    await cluster.until(lambda: app.reports and "cancelled in Temporal" in app.reports[-1].message)
    app.failing = {f"{Step.LOAD}:drift": "a template does not render"}
    await notify(client, "s")
    await doing(client, "s", "cannot look")
    await replaced(client, cluster, "s")
    app.failing = {}
    await cluster.change("s", blocked=set())
    await notify(client, "s")
    await (await start_by_hand(client, "s", "Upgrade")).result()
    await gone(client, cluster, "s")


async def waiting(client: Client, cluster: FakeCluster) -> None:
    """A first Deploy that waits begins again for what is missing, after a failover, and after one by hand.

    ``first-deploy-makes-room``."""
    app = cluster.add("r")
    app.writable, app.blocked = "r-0", {"server"}
    app.plan = Plan([ComponentPlan("server", [GroupPlan("data", ["r-0"])])])

    def begun() -> int:
        return cluster.steps("r").count("waitReady:server")

    async def again(before: int) -> None:
        await cluster.until(lambda: begun() > before, timeout=40)

    await notify(client, "r")
    await again(0)
    await cluster.change("r", drift=["Service r is missing"])
    await notify(client, "r", NoticeKind.DRIFT)
    await again(1)
    await cluster.change("r", drift=[])
    await replaced(client, cluster, "r")
    await again(2)
    before = begun()
    await (await start_by_hand(client, "r", "Failover", node="other")).result()
    await again(before)
    await cluster.change("r", blocked=set())
    await cluster.until(lambda: "finish" in cluster.steps("r"))
    await gone(client, cluster, "r")


LIVES: dict[str, Life] = {"u": mended, "t": moved, "s": ended, "r": waiting}
