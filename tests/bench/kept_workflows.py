"""What each App's kept workflow costs a worker, in the strict sandbox of the tests and in the sandbox of the worker.

Real workflows on a real Temporal dev server; activities and cluster are in memory, in this process. One sandbox a run,
since memory that was once taken is not given back:

    python -m tests.bench.kept_workflows --sandbox STRICT --apps 100
    python -m tests.bench.kept_workflows --sandbox PRODUCTION --apps 100
"""

from __future__ import annotations

import argparse
import asyncio
import os

from tests.bench.processes import cpu_seconds, resident_mib
from tests.workflows.cluster import FakeCluster
from tests.workflows.running import notify, workers
from tests.workflows.server import dev_server
from workflows.temporal import sandbox

RUNNERS = {"STRICT": sandbox.STRICT, "PRODUCTION": sandbox.PRODUCTION}
AT_ONCE = 10


async def deployed(cluster: FakeCluster, names: list[str]) -> None:
    await cluster.until(lambda: all("finish" in cluster.steps(name) for name in names), timeout=120)


async def measure(name: str, apps: int) -> None:
    cluster = FakeCluster()
    async with dev_server() as environment, workers(environment.client, cluster, RUNNERS[name]):
        client, me = environment.client, os.getpid()
        cluster.add("first")
        await notify(client, "first")
        await deployed(cluster, ["first"])
        memory, processor = resident_mib(me), cpu_seconds(me)
        for begin in range(0, apps, AT_ONCE):
            names = [f"app-{number}" for number in range(begin, min(begin + AT_ONCE, apps))]
            for each in names:
                cluster.add(each)
                await notify(client, each)
            await deployed(cluster, names)
        grown, used = resident_mib(me) - memory, cpu_seconds(me) - processor
        print(f"{name}: {apps} Apps: {grown / apps:.2f} MiB and {1000 * used / apps:.0f} ms of processor time each")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sandbox", choices=sorted(RUNNERS), required=True)
    parser.add_argument("--apps", type=int, default=100)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.sandbox, arguments.apps))


if __name__ == "__main__":
    main()
