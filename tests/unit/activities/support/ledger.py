"""What is recorded of one App of the plugin ``shelf``, written by the same pure functions as in operations.

So that tests can carry out one operation after another, or half of one, and look at what is found next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from activities.app.observed import ObservedApp
from api.app import App
from api.group import AgentBundle, GroupSpec, MemberState
from api.operations import OperationType
from render.desired import state_edits as edits
from render.desired.app import DesiredApp, DesiredComponent, desired
from render.desired.recorded_state import State, deployed_state, recorded_state
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
    """``state``: what is recorded. ``app``: what the App asks for now. Component and Group resources are kept too."""

    def __init__(self, app: App, *, runs: bool = True) -> None:
        self.app = app
        self.state = State()
        self.components: dict[str, Manifest] = {}
        self.groups: dict[str, Manifest] = {}
        if runs:
            self.carry_out(OperationType.DEPLOY)

    # What is there

    @property
    def live(self) -> ObservedApp:
        recorded = recorded_state(self.state, self.components, self.groups)
        manifest = {"metadata": self.app.metadata}
        deployed = deployed_state(self.state, recorded)
        return ObservedApp(manifest, self.components, self.groups, {}, self.state, recorded, deployed)

    @property
    def deployed(self) -> Deployed:
        found = self.live.deployed
        assert found is not None
        return found

    def nodes(self, state: str) -> list[str]:
        return [node.name for node in self.state.nodes(MemberState(state))]

    def spec(self, group: str = "books-store-g") -> GroupSpec:
        """What the Group's Pods are made of."""
        found = self.state.groups[group].update
        assert found is not None
        return found

    def bundle(self, version: str = "") -> PluginBundle:
        return BUNDLES[version or self.app.spec.plugin.version]

    # What is wanted

    def whole(self) -> DesiredApp:
        return desired(self.app, self.bundle(), agent=AgentBundle(image=AGENT), recorded=self.live.recorded)

    def stage(self, operation: OperationType, *, extend: bool = False) -> DesiredApp:
        if self.live.deployed is None:
            return self.whole()
        chosen = stage_of(operation)
        bundle = self.bundle(plugin_of(self.app, self.deployed, chosen))
        return staged(self.app, bundle, self.deployed, chosen, agent=AgentBundle(image=AGENT), extend=extend)

    def pending(self) -> list[Part]:
        return pending(self.whole(), self.deployed)

    def runs(self) -> DesiredApp:
        """As a Repair would keep it."""
        return self.stage(OperationType.REPAIR)

    # What operations write

    def prepare(self, operation: OperationType) -> DesiredApp:
        want = self.stage(operation, extend=operation == OperationType.SCALE)
        deployed = edits.begin(self.state.deployed, want, "now", self.state.runtime_version)
        before = replace(self.state, deployed=deployed)
        self.state = edits.recorded(edits.adding(before, want), want, operation)
        for manifest in record_manifests(want):
            kept = self.groups if manifest["kind"] == "Group" else self.components
            kept[manifest["metadata"]["name"]] = manifest
        return want

    def note_normal(self, want: DesiredApp) -> None:
        for component in want.components:
            self.note_component(component)

    def note_component(self, component: DesiredComponent) -> None:
        self.state = edits.normal(self.state, component)

    def edit_members(self, edit: Callable[[edits.Members], edits.Members]) -> None:
        """Those of every Group."""
        for name, group in self.state.groups.items():
            self.state = self.state.with_group(name, replace(group, members=edit(group.members)))

    def roll(self, name: str, version: str) -> None:
        """The node has another Pod, which was seen to serve."""
        self.edit_members(lambda members: edits.verified(edits.rolled(members, name, version), name))

    def begin_removal(self, *names: str) -> None:
        self.edit_members(lambda members: edits.deleting(members, names))

    def end_removal(self, *names: str) -> None:
        self.edit_members(lambda members: edits.gone(members, names))

    def finish(self, operation: OperationType) -> None:
        moved = OperationType.UPGRADE_PLUGIN in stage_of(operation)
        over = operation in (OperationType.UPGRADE, OperationType.RESIZE)
        if over:
            self.state = edits.settled(self.state)
        at = self.state.runtime_version if over else ""
        deployed = edits.finished(self.state.deployed, "hash", "now", moved=moved, settled_at=at)
        self.state = replace(self.state, deployed=deployed)

    def carry_out(self, operation: OperationType) -> None:
        if operation == OperationType.RECONFIGURE:
            want = self.stage(operation)
            for component in want.components:
                self.state = edits.reconfigured(self.state, want, component)
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
