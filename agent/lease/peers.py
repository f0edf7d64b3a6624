"""An engine that waits for the word that it is still primary has it from its replicas too, so that a platform that is
down keeps no App down.

A replica that follows the node still (tool ``followers`` asks each, by its engine) was not told to stop; a failover
promotes nobody before at least half of the replicas have stopped following. So a majority that follows says that nobody
is promoted, and renews the lease from the moment at which it was asked.

The platform comes first, for ``PLATFORM_FIRST`` seconds: it may be proving that the node's old Pod has ended, and goes
by what the kubelet has told of the new one (``activities.roles.fencing``). By the end of that time the kubelet has told
that the new one runs, so that a failover stops it or waits its lease out.
"""

from __future__ import annotations

import asyncio
import logging

from agent.documents import DocumentError, DocumentStore
from agent.lease.keeper import LeaseKeeper
from agent.nodefiles import node_names
from agent.process.state import State, Status, StatusBoard
from agent.record import read_record
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter

_log = logging.getLogger(__name__)
FOLLOWERS = "followers"
"""The tool, and its result."""
PLATFORM_FIRST = 5.0
_EVERY = 1.0


class PeersAsked:
    """``run`` asks while the process is WAITING."""

    def __init__(
        self,
        documents: DocumentStore,
        interpreter: Interpreter,
        board: StatusBoard,
        lease: LeaseKeeper,
        platform_first: float = PLATFORM_FIRST,
    ) -> None:
        self._documents, self._interpreter, self._board, self._lease = documents, interpreter, board, lease
        self._platform_first = platform_first

    async def run(self) -> None:
        """Until cancelled. A failure is logged, never fatal."""
        loop = asyncio.get_running_loop()
        while True:
            await self._board.wait_until(_waits)
            began = loop.time()
            while _waits(self._board.status):
                await self._board.pause(_EVERY)
                if loop.time() - began >= self._platform_first and _waits(self._board.status):
                    await self._ask()

    async def _ask(self) -> None:
        asked_at = self._lease.now()
        try:
            bundle = self._documents.effective()
            if FOLLOWERS not in bundle.document.tools:
                return  # the plugin cannot ask them: the platform's word is waited for
            record = await asyncio.to_thread(read_record, self._interpreter.settings.state_dir)
            outcome = await self._interpreter.run(FOLLOWERS, bundle.document.toolbox, node_names(bundle, record))
        except (ToolError, DocumentError) as error:
            _log.warning("its replicas cannot be asked whether they follow it: %s", error)
            return
        self._lease.followed(bundle.document, outcome.values.get(FOLLOWERS, ""), asked_at)


def _waits(status: Status) -> bool:
    return status.state is State.WAITING
