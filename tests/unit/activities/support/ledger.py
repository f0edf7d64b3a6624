"""What the cluster remembers of one App of the plugin ``shelf``, written by the same pure functions as in operations.

So that tests can carry out one operation after another, or half of one, and look at what is found next.
"""

from __future__ import annotations

import json
from typing import Any

from activities.app.observed import ObservedApp
from activities.cluster import metadata_edits
from api.app import App
from api.operations import OperationType
from render.desired.app import DesiredApp, DesiredComponent, desired
from render.desired.recorded_state import deployed_state, recorded_state
from render.desired.spec_parts import Deployed, Part, pending, plugin_of, stage_of, staged
from render.manifests.lists import record_manifests
from render.plugin.bundle import PluginBundle
from tests.unit.render.support import DEFINITION, shelf

Manifest = dict[str, Any]
UID = "uid-1"
AGENT = "agent:1"
NEWER = "1.1.0"
BUNDLES = {
    "1.0.0": shelf(),
    NEWER: shelf(plugin_yaml=DEFINITION.replace("name: shelf, version: 1.0.0", f"name: shelf, version: {NEWER}")),
}


class Ledger:
    """Metadata parts, and the Component and Group resources. ``app``: what the App asks for now."""

    def __init__(self, app: App, *, runs: bool = True) -> None:
        self.app = app
        self.metadata: dict[str, Any] = {}
        self.components: dict[str, Manifest] = {}
        self.groups: dict[str, Manifest] = {}
        if runs:
            self.carry_out(OperationType.DEPLOY)

    # What is there

    @property
    def config_map(self) -> Manifest:
        return {"data": {part: json.dumps(value) for part, value in self.metadata.items()}}

    @property
    def live(self) -> ObservedApp:
        recorded = recorded_state(self.components, self.groups, self.metadata.get("record"))
        return ObservedApp(
            self.components,
            self.groups,
            self.config_map,
            recorded,
            deployed_state(self.app.name, UID, self.config_map, recorded),
        )

    @property
    def deployed(self) -> Deployed:
        found = self.live.deployed
        assert found is not None
        return found

    def nodes(self, state: str) -> list[str]:
        return [node["name"] for node in self.metadata["nodes"][state]]

    def bundle(self, version: str = "") -> PluginBundle:
        return BUNDLES[version or self.app.spec.plugin.version]

    # What is wanted

    def whole(self) -> DesiredApp:
        return desired(self.app, self.bundle(), agent_image=AGENT, recorded=self.live.recorded)

    def stage(self, operation: OperationType, *, extend: bool = False) -> DesiredApp:
        if self.live.deployed is None:
            return self.whole()
        chosen = stage_of(operation)
        bundle = self.bundle(plugin_of(self.app, self.deployed, chosen))
        return staged(self.app, bundle, self.deployed, chosen, agent_image=AGENT, extend=extend)

    def pending(self) -> list[Part]:
        return pending(self.whole(), self.deployed)

    def runs(self) -> DesiredApp:
        """As a Repair would keep it."""
        return self.stage(OperationType.REPAIR)

    # What operations write

    def _update(self, part: str, value: Any) -> None:
        self.metadata[part] = json.loads(json.dumps(value))

    def prepare(self, operation: OperationType) -> DesiredApp:
        want = self.stage(operation, extend=operation == OperationType.SCALE)
        self._update("basic", metadata_edits.basic(self.metadata.get("basic"), want, "now"))
        self._update("nodes", metadata_edits.adding(self.metadata.get("nodes"), want))
        self._update("record", metadata_edits.record(self.metadata.get("record"), want, operation))
        for manifest in record_manifests(want):
            kept = self.groups if manifest["kind"] == "Group" else self.components
            kept[manifest["metadata"]["name"]] = manifest
        return want

    def note_normal(self, want: DesiredApp) -> None:
        for component in want.components:
            self.note_component(component)

    def note_component(self, component: DesiredComponent) -> None:
        self._update("nodes", metadata_edits.normal(self.metadata["nodes"], component))

    def roll(self, name: str, version: str) -> None:
        """The node has another Pod, which was seen to serve."""
        self._update(
            "nodes", metadata_edits.verified(metadata_edits.rolled(self.metadata["nodes"], name, version), name)
        )

    def begin_removal(self, *names: str) -> None:
        self._update("nodes", metadata_edits.deleting(self.metadata["nodes"], names))

    def end_removal(self, *names: str) -> None:
        self._update("nodes", metadata_edits.gone(self.metadata["nodes"], names))

    def finish(self, operation: OperationType) -> None:
        basic = {**self.metadata["basic"], "deployed": "hash"}
        if OperationType.UPGRADE_PLUGIN in stage_of(operation):
            basic = metadata_edits.without_previous_plugin(basic)
        self._update("basic", basic)
        if operation in (OperationType.UPGRADE, OperationType.RESIZE):
            self._update("record", metadata_edits.settled(self.metadata["record"]))

    def carry_out(self, operation: OperationType) -> None:
        if operation == OperationType.RECONFIGURE:
            want = self.stage(operation)
            for component in want.components:
                self._update("record", metadata_edits.reconfigured(self.metadata["record"], want, component))
        else:
            want = self.prepare(operation)
        if operation == OperationType.UPGRADE:
            for node in want.nodes:
                self.roll(node.name, want.runtime_version)
        if operation == OperationType.SCALE:
            self._scale(want)
            want = self.stage(operation)
        self.note_normal(want)
        self.finish(operation)

    def _scale(self, want: DesiredApp) -> None:
        self.note_normal(want)
        going = set(self.nodes("deleting"))
        for component in want.components:
            for group in component.groups:
                going |= {node.name for node in group.nodes if node.ordinal not in group.spec.ordinals}
        self.begin_removal(*going)
        self.end_removal(*going)

    def settle(self) -> list[str]:
        """Carries out what is pending, one part after another; which operations that took."""
        done: list[str] = []
        while self.pending():
            operation = self.pending()[0].operation
            self.carry_out(operation)
            done.append(str(operation))
            assert len(done) <= 10, done
        return done
