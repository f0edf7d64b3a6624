"""Whether an engine that was writable may begin so again. Agent 1 asks before each start.

Invariant: **where the platform replaces a lost primary, an engine begins as one by its own record only with a lease.**
While it was away another may have been promoted, or may be at this moment; its own record says nothing of that. So:

1. It must ask (``must_ask``) where its record says that it was writable in this App, and its ``preStart`` does not say
   that it begins with another role. Whoever has found a primary follows it, and asks nobody.
2. It may begin (``may_begin``) while the lease is held. In the same Pod that of the engine before goes on, so a process
   that has ended is back without a question. A new Pod has none (``agent.lease.memory``).
3. A lease is given by the platform, which gives none to a node that it replaces or is about to; or by a majority of the
   node's replicas which follow it still (``agent.lease.peers``), and all replicas stop following before one of them
   is promoted. So the platform may be away, and so may all replicas. Where both are, the watcher alone gives it
   (``watcher.failover.component_memory``); without a watcher it is waited for.
4. Besides, by the word of a Start (``permit``, ``lead``): a failover that found nobody to take over puts it back.

Who has no replica has no lease, and asks nobody.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from agent.document import NodeDocument
from agent.lease.memory import is_held
from agent.record import Record
from agent.settings import Settings

POLL, POLLS = 0.1, 10
"""Seconds, and after how many looks for a lease the start is prepared anew."""
WAITS = "it was writable, and waits for the word of the platform or of its replicas that it is still to be"


@dataclass(frozen=True)
class Word:
    """What a Start said of the next preparation, and of no later one. ``lead``: it may begin as primary where it finds
    no other; ``permit``: it may begin writable as it was, without a lease. Never on the disk: by the next start others
    may lead."""

    lead: bool = False
    permit: bool = False


NO_WORD = Word()


def boot_time() -> float:
    """The lease's clock: seconds since the machine started, those in which it was suspended among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def must_ask(document: NodeDocument, record: Record | None, begins_as: str) -> bool:
    """``begins_as``: the role that ``preStart`` has found, empty where it does not say."""
    if document.lease is None or record is None or record.app_uid != document.node.app_uid:
        return False
    return record.role in document.writable_roles and (not begins_as or begins_as in document.writable_roles)


def may_begin(settings: Settings, document: NodeDocument) -> bool:
    lease = document.lease
    return lease is None or is_held(settings, document.node.app_uid, lease.seconds, boot_time())
