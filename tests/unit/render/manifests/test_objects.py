"""Manifests: names, labels, owners, selectors, and a Pod without privileges."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.app import Phase
from api.group import AgentBundle, Member, MemberState
from api.plugin import Port
from render.manifests.budgets import disruption_budgets
from render.manifests.deployments import deployment_manifest, hashes_of, put_right
from render.manifests.labels import object_labels
from render.manifests.lists import record_manifests, service_manifests
from render.manifests.local_ports import local_port_range
from render.manifests.objects import (
    component_resource,
    component_service,
    group_resource,
    metadata_config_map,
    node_deployment,
    node_service,
    node_volume_claim,
    role_services,
)
from tests.unit.render.support import shelf, wanted

D = wanted()
C = D.component("store")
G = C.groups[0]
N = C.nodes[1]
LABELS = {"middleware.io/app": "books", "middleware.io/component": "store"}
NODE_LABELS = {**LABELS, "middleware.io/group": "default", "middleware.io/node": "books-store-default-1"}


def pod(of: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = of["spec"]["template"]["spec"]
    return spec


def everything() -> list[dict[str, Any]]:
    claim = node_volume_claim(D, C, G, N)
    assert claim is not None
    return [
        component_resource(D, C),
        group_resource(D, C, G),
        node_service(D, C, N),
        component_service(D, C),
        *role_services(D, C),
        node_deployment(D, C, G, N),
        metadata_config_map(D),
        claim,
        *disruption_budgets(D, C),
    ]


def test_all_objects_carry_the_recommended_labels_and_the_namespace() -> None:
    for thing in everything():
        labels = thing["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "shelf"
        assert labels["app.kubernetes.io/managed-by"] == "middleware-platform"
        assert labels["app.kubernetes.io/version"] == "2"
        assert thing["metadata"]["namespace"] == "library"


def test_the_app_owns_all_but_the_volumes() -> None:
    for thing in everything():
        owners = thing["metadata"].get("ownerReferences")
        if thing["kind"] == "PersistentVolumeClaim":
            assert owners is None
            assert thing["metadata"]["annotations"] == {"middleware.io/app-uid": "uid-1"}
        else:
            assert [(o["kind"], o["uid"], o["controller"], o["blockOwnerDeletion"]) for o in owners] == [
                ("App", "uid-1", False, False)
            ]


def test_services_select_one_node_all_nodes_and_one_role() -> None:
    assert node_service(D, C, N)["spec"]["selector"] == NODE_LABELS
    assert node_service(D, C, N)["spec"]["publishNotReadyAddresses"] is True
    assert component_service(D, C)["spec"]["selector"] == LABELS
    assert "publishNotReadyAddresses" not in component_service(D, C)["spec"]
    (primary,) = role_services(D, C)
    assert primary["metadata"]["name"] == "books-store-primary"
    assert primary["spec"]["selector"] == {**LABELS, "middleware.io/role": "primary"}
    assert [p["port"] for p in primary["spec"]["ports"]] == [7000]


def test_a_node_is_a_deployment_that_is_replaced_and_never_doubled() -> None:
    spec = node_deployment(D, C, G, N)["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["selector"]["matchLabels"] == NODE_LABELS
    assert spec["template"]["metadata"]["labels"].items() >= NODE_LABELS.items()
    assert pod(node_deployment(D, C, G, N))["terminationGracePeriodSeconds"] == 45


def test_the_pod_template_does_not_name_the_plugin_version() -> None:
    assert "1.0.0" not in str(node_deployment(D, C, G, N)["spec"])


def test_containers_have_no_privileges() -> None:
    spec = pod(node_deployment(D, C, G, N))
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 1234
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["initContainers"] + spec["containers"]:
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_an_agent_that_is_mounted_needs_no_init_container() -> None:
    mounted = replace(G, spec=G.spec.model_copy(update={"agent": AgentBundle(image="agent:1", mounted=True)}))
    spec = pod(node_deployment(D, C, mounted, N))
    assert spec["initContainers"] == []
    assert {"name": "agent", "image": {"reference": "agent:1", "pullPolicy": "IfNotPresent"}} in spec["volumes"]
    agent = {"name": "agent", "mountPath": "/agent", "readOnly": True, "subPath": "agent"}
    assert all(agent in container["volumeMounts"] for container in spec["containers"])


def test_a_node_that_was_rolled_with_other_agents_is_put_right_as_it_was_rolled() -> None:
    """Its Group's record names the former ones; an edit of its Pod's template was let stand."""
    newest = AgentBundle(image="agent:2", mounted=True)
    mine = replace(D, agent=newest)
    rolled = deployment_manifest(mine, C, replace(G, spec=G.spec.model_copy(update={"agent": newest})), N)
    pod_hash, template_hash = hashes_of(rolled)
    member = Member(name=N.name, state=MemberState.NORMAL, pod_hash=pod_hash, template_hash=template_hash)
    edited = json.loads(json.dumps(rolled))
    edited["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:1"
    assert put_right(mine, C, G, N, edited, member, None) == rolled
    assert "template" not in put_right(D, C, G, N, edited, member, None)["spec"], "made by a platform of other agents"


def test_the_agent_comes_by_an_init_container_into_the_engines_own_image() -> None:
    spec = pod(node_deployment(D, C, G, N))
    (install,) = spec["initContainers"]
    assert (install["image"], install["command"]) == ("agent:1", ["/agent/bin/install", "/opt/agent"])
    manager, tools = spec["containers"]
    assert (manager["image"], manager["command"]) == ("shelf:2", ["/agent/bin/agent", "manager"])
    assert (tools["image"], tools["command"]) == ("shelf:2", ["/agent/bin/agent", "tools"])
    assert manager["resources"]["limits"] == {"memory": "256Mi"}
    assert tools["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 50054}
    assert manager["livenessProbe"]["httpGet"] == {"path": "/livez", "port": 50053}
    for probe in (manager["livenessProbe"], tools["livenessProbe"]):
        assert probe["periodSeconds"] * probe["failureThreshold"] == 30
        assert probe["timeoutSeconds"] == probe["periodSeconds"], "slow is not dead"
    mounted = {m["name"] for c in spec["containers"] for m in c["volumeMounts"]}
    assert mounted == {v["name"] for v in spec["volumes"]}


def test_no_connection_gets_a_port_on_which_the_pod_listens() -> None:
    """A Sentinel's own connection had agent 2's port; agent 2 could not begin for as long as it was open."""
    (setting,) = pod(node_deployment(D, C, G, N))["securityContext"]["sysctls"]
    assert setting == {"name": "net.ipv4.ip_local_port_range", "value": "32768 50049"}
    group = replace(G, spec=G.spec.model_copy(update={"ports": [Port(name="admin", port=41000)]}))
    (setting,) = pod(node_deployment(D, C, group, N))["securityContext"]["sysctls"]
    assert setting["value"] == "50055 60998"


@pytest.mark.parametrize(
    ("listening", "left"),
    [
        ([6379], "32768 60999"),
        ([50051, 50052, 6379], "32768 50049"),
        ([50051, 33060, 50052], "33061 50050"),
        ([32768, 60999], "32769 60998"),
        ([40000, 41000], "41001 60998"),
    ],
)
def test_the_widest_part_without_ports_to_listen_on_is_left_to_connections(listening: list[int], left: str) -> None:
    assert local_port_range(listening) == left


def test_data_is_on_the_claim_or_goes_with_the_pod() -> None:
    volumes = {v["name"]: v for v in pod(node_deployment(D, C, G, N))["volumes"]}
    assert volumes["middleware"]["persistentVolumeClaim"] == {"claimName": "books-store-default-1"}
    watch = D.component("watch")
    assert node_volume_claim(D, watch, watch.groups[0], watch.nodes[0]) is None
    volumes = {v["name"]: v for v in pod(node_deployment(D, watch, watch.groups[0], watch.nodes[0]))["volumes"]}
    assert volumes["middleware"] == {"name": "middleware", "emptyDir": {}}


def test_what_is_applied_has_no_empty_map() -> None:
    """A node selector that was taken back became null in the live Group, and the API server refused it."""

    def maps(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            yield value
            for each in value.values():
                yield from maps(each)

    for manifest in (component_resource(D, C), group_resource(D, C, G)):
        assert all(maps(manifest["spec"]))
    assert "nodeSelector" not in group_resource(D, C, G)["spec"]


def test_two_renderings_are_equal() -> None:
    again = wanted(bundle=shelf())
    c = again.component("store")
    assert node_deployment(again, c, c.groups[0], c.nodes[1]) == node_deployment(D, C, G, N)


TRACKED_BY = {
    "app.kubernetes.io/instance",  # Argo CD
    "argocd.argoproj.io/instance",
    "argocd.argoproj.io/tracking-id",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "meta.helm.sh/release-name",
}


def test_nothing_of_an_app_looks_as_if_a_gitops_tool_had_applied_it() -> None:
    """What has no owner and is not in Git would be pruned: the volumes and the passwords."""
    of = wanted()
    made: list[dict[str, Any] | None] = [*record_manifests(of), *service_manifests(of), metadata_config_map(of)]
    for component in of.components:
        for group in component.groups:
            for node in group.nodes:
                made += [node_deployment(of, component, group, node), node_volume_claim(of, component, group, node)]
    found = [each["metadata"] for each in made if each is not None]
    found += [
        each["spec"]["template"]["metadata"] for each in made if each is not None and each["kind"] == "Deployment"
    ]
    found.append({"labels": object_labels(of)})
    for metadata in found:
        assert not TRACKED_BY & {*metadata["labels"], *metadata.get("annotations", {})}
        assert metadata["labels"].get("app.kubernetes.io/managed-by") != "Helm"


def test_the_health_check_for_argo_cd_goes_by_phases_that_there_are() -> None:
    text = (Path(__file__).resolve().parents[4] / "docs" / "gitops.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"local of_phase = {(.*)}", text)
    named = re.findall(r"(\w+) = ", table)
    assert len(named) == 4
    assert {*named} <= {*Phase}
