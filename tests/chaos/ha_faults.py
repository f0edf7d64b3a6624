"""Faults on the primary of a running App. Each is a context: undone at its end, also where something else fails.

Networks are cut, slowed down and made to lose packets inside the primary's Pod, so between it and everything else, not
between two chosen nodes. The kernel at hand has no ``netem``: slow is a low rate with a queue before it (``tbf``).
Volumes of the embedded cluster are directories without a bound; a disk can be full only where the App has disks of its
own (``tests/chaos/disks.py``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import redis

from deploy.local.instance import Instance
from tests.chaos import disks
from tests.chaos.faults import agent_processes
from tests.chaos.insides import agent, engine, filtered, shaped
from tests.e2e.support import platform
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import eventually

SYSTEM = "middleware-system"


HEARS_NOTHING = ("-A", "INPUT", "!", "-i", "lo", "-j", "DROP")
SAYS_NOTHING = ("-A", "OUTPUT", "!", "-o", "lo", "-j", "DROP")


@dataclass(frozen=True)
class Scene:
    """Where the fault happens: the node that is primary now, and its Pod."""

    instance: Instance
    app: RunningApp
    node: str
    pod: str

    @classmethod
    def of(cls, instance: Instance, app: RunningApp) -> Scene:
        node = app.primary()
        return cls(instance, app, node, app.pods()[node]["metadata"]["name"])


@dataclass(frozen=True)
class Fault:
    """``hold``: seconds that it lasts at most; it ends earlier once writes have failed and work again.

    ``sentinel``: it is one of Sentinel's, and means nothing in another topology. ``needs_end``: no write can be
    acknowledged before the fault is over, so the time is counted from there. ``before``: what else is wrong already.
    """

    during: Callable[[Scene], AbstractContextManager[None]]
    hold: float = 15.0
    sentinel: bool = False
    needs_end: bool = False
    before: Callable[[Scene], AbstractContextManager[None]] = lambda _: contextlib.nullcontext()


@contextmanager
def engine_killed(scene: Scene) -> Iterator[None]:
    os.kill(engine(scene.pod), signal.SIGKILL)
    yield


@contextmanager
def suspended(*pids: int) -> Iterator[None]:
    """SIGSTOP: they are there, and answer nothing."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def engine_suspended(scene: Scene) -> AbstractContextManager[None]:
    return suspended(engine(scene.pod))


def agent_killed(which: str) -> Callable[[Scene], AbstractContextManager[None]]:
    @contextmanager
    def during(scene: Scene) -> Iterator[None]:
        os.kill(agent(which, scene.pod), signal.SIGKILL)
        yield

    return during


@contextmanager
def died_before(scene: Scene) -> Iterator[None]:
    """From the second time on the kubelet waits, ten seconds at first, before it starts the container anew."""
    first = agent("manager", scene.pod)
    os.kill(first, signal.SIGKILL)
    eventually("another agent 1", lambda: agent_processes("manager", {scene.pod}) not in ([], [first]), timeout=60)
    yield


def pod_deleted(*options: str) -> Callable[[Scene], AbstractContextManager[None]]:
    @contextmanager
    def during(scene: Scene) -> Iterator[None]:
        scene.app.kube.run("delete", "pod", scene.pod, "-n", scene.app.namespace, "--wait=false", *options)
        yield

    return during


@contextmanager
def every_pod_deleted(scene: Scene) -> Iterator[None]:
    """Nobody is left who could say who is primary: every node has its volume and its own record."""
    selector = f"middleware.io/app={scene.app.name}"
    words = ("delete", "pod", "-n", scene.app.namespace, "-l", selector, "--wait=false", "--grace-period=0", "--force")
    scene.app.kube.run(*words)
    yield


def network(*rules: tuple[str, ...]) -> Callable[[Scene], AbstractContextManager[None]]:
    return lambda scene: filtered(scene.pod, *rules)


def _loses(chain: str) -> tuple[str, ...]:
    return ("-A", chain, "-m", "statistic", "--mode", "random", "--probability", "0.2", "-j", "DROP")


def network_slow(scene: Scene) -> AbstractContextManager[None]:
    return shaped(scene.pod, "160kbit", "2s")


@contextmanager
def disk_full(scene: Scene) -> Iterator[None]:
    with disks.filled(scene.instance, scene.app, scene.node):
        yield


@contextmanager
def sentinels_gone(scene: Scene) -> Iterator[None]:
    """A majority of Sentinels is cut off, and the others know it. Not stopped: then they would idle for 30 s more."""
    app = scene.app
    watching = {node: pod["metadata"]["name"] for node, pod in app.pods("redis-sentinel").items()}
    left, *gone = sorted(watching)

    def known() -> bool:
        with app.client(left.removeprefix(f"{app.name}-"), 26379, timeout=2.0) as client:
            try:
                client.execute_command("SENTINEL", "CKQUORUM", app.name)
            except redis.ResponseError as error:
                return "NOQUORUM" in str(error)
        return False

    with contextlib.ExitStack() as cuts:
        for node in gone:
            cuts.enter_context(filtered(watching[node], HEARS_NOTHING, SAYS_NOTHING))
        eventually("it knows that it is no majority", known, timeout=30)
        yield


@contextmanager
def without_component(scene: Scene, name: str) -> Iterator[None]:
    pid = engine(scene.pod)
    scene.instance.kill(name)
    try:
        with suspended(pid):
            yield
    finally:
        scene.instance.start(name)


@contextmanager
def temporal_down(scene: Scene) -> Iterator[None]:
    """So no failover can give a primary that is back the word that it still is."""
    scene.instance.kill("temporal")
    try:
        yield
    finally:
        scene.instance.start("temporal")


def without(name: str) -> Callable[[Scene], AbstractContextManager[None]]:
    return lambda scene: without_component(scene, name)


def platform_killed(module: str) -> Callable[[Scene], AbstractContextManager[None]]:
    """All processes of a part of the platform with kill -9, in the moment in which the primary hangs."""

    @contextmanager
    def during(scene: Scene) -> Iterator[None]:
        eventually(f"{module} runs", lambda: platform.processes(module, scene.instance.name), timeout=60)
        with engine_suspended(scene):
            assert platform.kill(module, scene.instance.name) >= 1
            yield
        replaced(scene, module)  # or the kubelet would start them ever later, and the next case measure that

    return during


@contextmanager
def watchers_lost(scene: Scene) -> Iterator[None]:
    """Their machines are gone: others come, who have to wait until the leader's Lease has run out."""
    with engine_suspended(scene):
        assert platform.kill("watcher", scene.instance.name) >= 1  # who is asked to end would release the Lease
        replaced(scene, "watcher")
        yield


def replaced(scene: Scene, module: str) -> None:
    selector = f"app.kubernetes.io/component={module}"
    words = ("pod", "-n", SYSTEM, "-l", selector, "--wait=false", "--grace-period=0", "--force")
    scene.app.kube.run("delete", *words)


FAULTS: dict[str, Fault] = {
    "engine-killed": Fault(engine_killed),
    "engine-suspended": Fault(engine_suspended, hold=30),
    "agent1-killed": Fault(agent_killed("manager"), hold=30),
    # Without Sentinel its first death is a failover, and the second would meet a replica.
    "agent1-killed-again": Fault(agent_killed("manager"), hold=30, sentinel=True, before=died_before),
    "agent2-killed": Fault(agent_killed("tools"), hold=8),
    "pod-deleted": Fault(pod_deleted()),
    "pod-force-deleted": Fault(pod_deleted("--grace-period=0", "--force")),
    "every-pod-deleted": Fault(every_pod_deleted, hold=60),
    "every-pod-deleted-temporal-down": Fault(every_pod_deleted, hold=60, before=temporal_down),
    "network-cut": Fault(network(HEARS_NOTHING, SAYS_NOTHING), hold=30),
    "network-cut-inwards": Fault(network(HEARS_NOTHING), hold=30),
    "network-cut-outwards": Fault(network(SAYS_NOTHING), hold=30),
    "network-slow": Fault(network_slow, hold=15),
    "network-lossy": Fault(network(_loses("INPUT"), _loses("OUTPUT")), hold=15),
    "disk-full": Fault(disk_full),
    "killed-without-sentinels": Fault(engine_killed, hold=60, sentinel=True, before=sentinels_gone),
    "suspended-without-sentinels": Fault(
        engine_suspended, hold=10, sentinel=True, needs_end=True, before=sentinels_gone
    ),
    "suspended-watcher-killed": Fault(platform_killed("watcher"), hold=45),
    "suspended-watchers-lost": Fault(watchers_lost, hold=60),
    "suspended-worker-killed": Fault(platform_killed("worker"), hold=45),
    "suspended-temporal-down": Fault(without("temporal"), hold=20),
    "suspended-apiserver-down": Fault(without("apiserver"), hold=10, needs_end=True),
}


def wait_until(over: Callable[[], bool], seconds: float) -> None:
    """At most so long; no matter whether it came."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not over():
        time.sleep(0.05)
