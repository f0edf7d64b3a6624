"""Who may edit ConfigMaps and Secrets may make them immutable, for good: the platform makes anew what it can make
again, and says what a person has to do about what it cannot."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.app.desired import desired_for
from activities.app.secrets import ensure_credentials
from activities.cluster.apply import put
from activities.config.rotate import Rotate
from api.effective import noted
from api.names import ANNOTATION_EFFECTIVE, agent_tls_name, credentials_name
from api.operations import OperationType
from api.rotation import RotationRequest
from api.steps import ErrorType
from clients.errors import InvalidError
from render.manifests.lists import revision_of
from tests.unit.activities.support.cluster import NAME, World
from tests.unit.render.support import shelf, store, with_tools

NODE = "books-store-g-0"


@pytest.fixture
async def world() -> World:
    return await World(runtimeVersion="1", components=store(replicas=2)).deployed()


def freeze(world: World, kind: str, name: str, **more: Any) -> dict[str, Any]:
    frozen = {**world.object(kind, name), "immutable": True, **more}
    world.cluster.put(frozen)
    return frozen


@pytest.mark.parametrize("edited", [False, True])
async def test_a_nodes_files_that_were_made_immutable_are_drift_and_are_made_anew(world: World, edited: bool) -> None:
    before = world.object("ConfigMap", NODE)
    freeze(world, "ConfigMap", NODE, data={**before["data"], **({"middleware__conf": "spoiled"} if edited else {})})
    assert (await world.load()).drift == [f"ConfigMap {NODE} was changed"]
    await world.carry_out(OperationType.REPAIR)
    after = world.object("ConfigMap", NODE)
    assert not after.get("immutable")
    assert revision_of(after) > revision_of(before)
    assert noted(after) == noted(before) is not None, "what the engine was given is known still"
    assert after["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]
    assert (await world.load()).drift == []


async def test_one_that_is_another_apps_stays_as_it_is(world: World) -> None:
    other = [{"kind": "App", "name": "other", "uid": "uid-2"}]
    frozen = freeze(world, "ConfigMap", NODE)
    world.cluster.put({**frozen, "metadata": {**frozen["metadata"], "ownerReferences": other}})
    with pytest.raises(InvalidError):
        await put(world.platform, {**frozen, "immutable": False, "data": {"x": "y"}})
    assert world.object("ConfigMap", NODE)["immutable"]


async def test_notes_on_it_are_not_applied_or_the_next_apply_would_take_them_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is applied, the API server removes what a later apply does not name."""
    freeze(world, "ConfigMap", NODE)
    applied, apply = [], world.cluster.apply

    async def seen(manifest: dict[str, Any], **more: Any) -> Any:
        if manifest["kind"] == "ConfigMap":
            applied.append({**(manifest["metadata"].get("annotations") or {})})
        return await apply(manifest, **more)

    monkeypatch.setattr(world.cluster, "apply", seen)
    await world.carry_out(OperationType.REPAIR)
    assert applied
    assert not [each for each in applied if ANNOTATION_EFFECTIVE in each]
    assert noted(world.object("ConfigMap", NODE)) is not None


async def test_one_that_a_finalizer_keeps_is_waited_for_and_it_is_said_why(world: World) -> None:
    frozen = freeze(world, "ConfigMap", NODE)
    kept = {**frozen["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/keep"]}
    world.cluster.put({**frozen, "metadata": kept})
    with pytest.raises(ApplicationError, match=f"{NODE} is immutable and being deleted; .*example.com/keep"):
        await put(world.platform, {**frozen, "immutable": False, "data": {"x": "y"}})


async def test_the_agents_certificate_is_issued_anew(world: World) -> None:
    name = agent_tls_name(NAME)
    freeze(world, "Secret", name)
    sentence = f"Secret {name}: the agents' certificate could not be renewed, since its Secret is immutable"
    assert (await world.load()).drift == [sentence]
    await world.carry_out(OperationType.REPAIR)
    assert not world.object("Secret", name).get("immutable")
    assert (await world.load()).drift == []


async def test_passwords_are_never_removed_and_the_refusal_says_how_a_person_frees_them() -> None:
    name = credentials_name(NAME)
    changes = with_tools("useCredentials: {steps: [{set: {x: y}}]}\nretireCredentials: {steps: [{set: {x: y}}]}\n")
    world = await World(shelf(tools_yaml=changes), components=store()).deployed()
    frozen = freeze(world, "Secret", name)
    assert (await world.load()).drift == [], "nothing has to be changed in it"
    rotation = RotationRequest(world.target(OperationType.ROTATE_CREDENTIALS), generate=True)
    with pytest.raises(ApplicationError, match=f"{name} is immutable, .*kubectl replace --force") as kept:
        await world.do(Rotate(world.platform).begin_rotation, rotation)
    assert kept.value.type == ErrorType.CREDENTIALS_KEPT
    left = {key: value for key, value in frozen["data"].items() if key.endswith(".used")}
    world.cluster.put({**frozen, "data": left})
    target = world.target(OperationType.REPAIR)
    desired = (await desired_for(world.platform, target)).desired
    with pytest.raises(ApplicationError, match=f"{name} is immutable"):
        await ensure_credentials(world.platform, target, desired)
    assert world.object("Secret", name)["data"] == left
