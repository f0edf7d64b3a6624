"""Parts of the metadata ConfigMap change under resourceVersion, and nobody else's change is lost."""

from __future__ import annotations

import json
from typing import Any, cast

from activities.cluster.metadata import read_part, update_metadata
from activities.dependencies import Platform
from clients.errors import ConflictError


class FakeKubernetes:
    """One ConfigMap in memory; the first ``conflicts`` patches come after somebody else's."""

    def __init__(self, conflicts: int = 0) -> None:
        self.data: dict[str, str] = {"roles": "[]"}
        self.version, self.conflicts, self.patches = 1, conflicts, 0

    async def get(self, *_: object) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": str(self.version)}, "data": dict(self.data)}

    async def patch(self, _resource: object, _name: str, _namespace: str, change: dict[str, Any]) -> None:
        if self.conflicts:
            self.conflicts -= 1
            self.version += 1
            self.data["config"] = json.dumps({"normal": ["theirs"]})
        if change["metadata"]["resourceVersion"] != str(self.version):
            raise ConflictError("patching", 409, "Conflict", "")
        self.patches += 1
        self.data |= change["data"]


class FakePlatform:
    """Only the API server is used here."""

    def __init__(self, kubernetes: FakeKubernetes) -> None:
        self.kubernetes = kubernetes


def appended(before: Any) -> Any:
    normal = [*(before or {}).get("normal", [])]
    return {"normal": normal if "ours" in normal else [*normal, "ours"]}


async def test_a_conflict_is_computed_anew() -> None:
    kubernetes = FakeKubernetes(conflicts=1)
    await update_metadata(cast(Platform, FakePlatform(kubernetes)), "demo", "x", {"config": appended})
    assert json.loads(kubernetes.data["config"]) == {"normal": ["theirs", "ours"]}
    assert kubernetes.data["roles"] == "[]"


async def test_what_has_landed_is_not_written_again() -> None:
    kubernetes = FakeKubernetes()
    platform = cast(Platform, FakePlatform(kubernetes))
    for _ in range(2):
        await update_metadata(platform, "demo", "x", {"config": appended})
    assert kubernetes.patches == 1


def test_a_part_that_somebody_spoiled_counts_as_missing() -> None:
    assert read_part({"data": {"nodes": "{not json"}}, "nodes") is None
    assert read_part(None, "nodes") is None
