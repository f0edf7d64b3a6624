"""Whether a Failover can ever replace a primary of an App: by its plugin and topology alone, so it is known before a
request is queued. Pure."""

from __future__ import annotations

from render.plugin.bundle import PluginBundle

BY_SWITCHOVER = "to move the role while both live, start a Switchover"


def why_never_replaced(bundle: PluginBundle, topology: str) -> str:
    """Why the platform replaces no primary in this topology, a sentence; empty where it does."""
    found = next((each for each in bundle.plugin.spec.topologies if each.name == topology), None)
    if found is None or found.failover == "platform":
        return ""
    writable = {c.name for c in bundle.plugin.spec.components if any(role.writable for role in c.roles)}
    holding = [each for each in found.components if each.name in writable]
    if not holding:
        return f"no node of topology {topology} has a role that the platform could move"
    if all(each.maximum == 1 for each in holding):
        alone = "has one node that takes writes, and no other that could take over"
        return f"topology {topology} {alone}: it comes back with its volume"
    return f"in topology {topology} the engine itself replaces a lost primary; {BY_SWITCHOVER}"
