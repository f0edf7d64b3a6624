"""The ConfigMaps of nodes, with a revision that grows only when the content does. Pure.

The agents take the newer of a mounted and a pushed document by its revision. So a document that is rendered again
without a difference keeps its revision, and one that somebody edited by hand gets a higher one, which wins everywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from clients.resources import Manifest
from render.desired.app import DesiredApp, DesiredComponent, DesiredNode
from render.manifests.lists import config_maps_of


def first_primary(component: DesiredComponent, *, ran: bool, held: frozenset[str]) -> str | None:
    """The node that may start as first primary without having found another.

    None once the App has run: a node whose volume was lost would begin empty, and its replicas would follow it.
    None as well while kept volumes have not been looked at.
    """
    if ran or (held and component.recorded_bootstrap is None):
        return None
    return component.bootstrap_node


async def rendered_config_maps(
    desired: DesiredApp,
    component: DesiredComponent,
    nodes: Iterable[DesiredNode],
    addresses: Mapping[str, str],
    live: Mapping[str, Manifest],
    *,
    bootstrap: str | None,
    held: frozenset[str] = frozenset(),
) -> list[tuple[DesiredNode, Manifest, bool]]:
    """``config_maps_of`` in a thread: rendering many nodes would keep the other Apps' steps from their heartbeats.

    A new ConfigMap begins with the time as its revision: a kept volume may hold a pushed copy of an earlier one of the
    same node, which the agent would take for the newer of the two. For the same reason a changed one is never below it.
    """
    initial = int(time.time())

    def render() -> list[tuple[DesiredNode, Manifest, bool]]:
        return list(
            config_maps_of(desired, component, nodes, addresses, live, bootstrap=bootstrap, held=held, initial=initial)
        )

    return await asyncio.to_thread(render)
