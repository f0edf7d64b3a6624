"""What is recorded of the App in the cluster in memory: read as the activities do, and written as an operation would
have left it, or as it is found after an accident."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from api.app import DeployedStatus
from api.group import GroupSpec, Member, MemberState
from clients.resources import CONTROLLER_REVISION
from render.desired.recorded_state import State, state_of
from tests.unit.watcher.support.fakes import FakeKubernetes

Manifest = dict[str, Any]


class RecordedApp:
    """Of one App, in ``namespace``."""

    cluster: FakeKubernetes

    def __init__(self, namespace: str, name: str) -> None:
        self._namespace, self._name = namespace, name

    def _of(self, kind: str) -> dict[str, Manifest]:
        return {
            name: copy.deepcopy(each)
            for (what, where, name), each in self.cluster.objects.items()
            if (what, where) == (kind, self._namespace)
        }

    @property
    def state(self) -> State:
        app = self._of("App")[self._name]
        return state_of(app, self._of("Component"), self._of("Group"), self._of(CONTROLLER_REVISION.kind))

    @property
    def recorded(self) -> DeployedStatus:
        """What is one for the App."""
        found = self.state.deployed
        assert found is not None
        return found

    def group_spec(self, group: str = "books-store-g") -> GroupSpec:
        """What the Group's Pods are made of."""
        found = self.state.groups[group].update
        assert found is not None
        return found

    def nodes(self, state: str = "normal") -> list[str]:
        return [node.name for node in self.state.nodes(MemberState(state))]

    def member(self, node: str) -> Member:
        return self.state.members[node]

    # Written by others than the steps under test

    def _put_status(self, kind: str, name: str, changes: Mapping[str, Any]) -> None:
        live = self._of(kind)[name]
        self.cluster.put({**live, "status": {**(live.get("status") or {}), **changes}})

    def record(self, **changes: Any) -> None:
        """Fields of what is one for the App, by their names in the status."""
        live = self._of("App")[self._name]
        self._put_status("App", self._name, {"deployed": {**live["status"]["deployed"], **changes}})

    def note(self, node: str, **changes: Any) -> None:
        """Fields of the node's member; None removes a field."""
        for name, group in self._of("Group").items():
            members = (group.get("status") or {}).get("members") or []
            if any(each["name"] == node for each in members):
                edited = [{**e, **changes} if e["name"] == node else e for e in members]
                kept = [{key: value for key, value in e.items() if value is not None} for e in edited]
                self._put_status("Group", name, {"members": kept})
                return
        raise KeyError(node)

    def note_roles(self, component: str, roles: Sequence[Manifest] = (), holders: Sequence[Manifest] = ()) -> None:
        """As the watcher does."""
        self._put_status("Component", f"{self._name}-{component}", {"roles": [*roles], "holders": [*holders]})

    def lose_status(self, *kinds: str) -> None:
        """As objects are found whose statuses somebody has wiped."""
        for kind in kinds or ("App", "Component", "Group"):
            for live in self._of(kind).values():
                self.cluster.put({**live, "status": {}})

    def lose(self, kind: str, *names: str) -> None:
        """Objects are gone; all of the kind where none is named."""
        for name, live in self._of(kind).items():
            if name in names or not names:
                self.cluster.remove(live)
