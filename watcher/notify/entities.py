"""Sees that each App has its workflow, and begins the one that is missing.

An entity ends by itself only when its App is gone. One that somebody has terminated, or that failed, hears of nothing
any more, and its operation has ended with it: the App would say for ever that it is being changed, and nobody could
pause, retry or abort that. So the workflows that run are listed from time to time, all Apps in one question. A notice
begins the missing one, which plans again from what it finds; one that has only just begun takes the notice for a look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

from temporalio.client import Client
from temporalio.service import RPCError

from api.names import FINALIZER, entity_workflow_id
from api.operations import Notice, NoticeKind
from clients import temporal
from clients.resources import Manifest
from watcher import metrics
from watcher.cache import apps

log = logging.getLogger(__name__)

LOOK_EVERY = 20.0
"""Seconds. A terminated operation's activities have heard of it by then, or soon: their heartbeats say so."""


class Entities:
    """Use as ``async with``. ``found``: the Apps that there are. ``tell`` gets an App and the notice for its
    workflow."""

    def __init__(
        self,
        found: Callable[[], Iterable[Manifest]],
        installation: str,
        connected: Callable[[], Awaitable[Client]],
        tell: Callable[[Manifest, Notice], None],
    ) -> None:
        self._found, self._installation, self._connected, self._tell = found, installation, connected, tell
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._keep_looking(), name="entities")

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look()
            except RPCError as error:
                log.warning("the workflows that run cannot be listed yet: %s", error.message)
            except Exception:
                log.exception("looking for the workflows that run")

    async def look(self) -> None:
        """Raises RPCError."""
        # Before the workflows: one of an App that is made meanwhile is not missed.
        wanted = [app for app in self._found() if needs_entity(app)]
        running = await temporal.running_entities(await self._connected())
        for app in missing(wanted, running, self._installation):
            name = f"{app['metadata']['namespace']}/{app['metadata']['name']}"
            log.warning("the workflow of the App does not run: it is begun again", extra={"app": name})
            metrics.ENTITIES_BEGUN.inc()
            self._tell(app, Notice(NoticeKind.RESYNC, "its workflow did not run"))


def needs_entity(app: Manifest) -> bool:
    """One that is being deleted only until its Delete has ended."""
    return apps.is_living(app) or FINALIZER in (app["metadata"].get("finalizers") or [])


def missing(wanted: Iterable[Manifest], running: Collection[str], installation: str) -> list[Manifest]:
    """Apps whose workflow is not among ``running`` (workflow ids). Pure."""

    def workflow_id(app: Manifest) -> str:
        return entity_workflow_id(installation, str(app["metadata"]["namespace"]), str(app["metadata"]["name"]))

    return [app for app in wanted if workflow_id(app) not in running]
