"""What a person reads in `kubectl get app,component,group`, from Pods and Services."""

from __future__ import annotations

from typing import Any

from tests.unit.watcher.support.objects import APP, Manifest, app, component, group, pod, service
from watcher.roles.said import Said
from watcher.status.gather import Snapshot
from watcher.status.summary import Statuses, summarize
from watcher.status.writer import differs

NODES = [f"{APP}-redis-server-data-{n}" for n in range(2)] + [f"{APP}-redis-sentinel-data-{n}" for n in range(3)]
NOW = "2025-01-02T00:00:00Z"
DEPLOYED = {"specHash": "one"}
WRITABLE = {"redis-server": frozenset({"master"})}
SERVICES = [
    service(f"{APP}-redis-server", "redis-server", 6379),
    service(f"{APP}-redis-server-master", "redis-server", 6379, role="master"),
]


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(c for c in status["conditions"] if c["type"] == kind)


def running(**more: Any) -> Manifest:
    return app(phase="Running", observedGeneration=1, **more)


def sentinel(application: Manifest, pods: list[Manifest], messages: dict[str, str] | None = None) -> Statuses:
    return summarize(
        Snapshot(
            application,
            [component("redis-server"), component("redis-sentinel")],
            [group("redis-server", 2), group("redis-sentinel", 3)],
            pods,
            [
                *SERVICES,
                service(f"{APP}-redis-sentinel", "redis-sentinel", 26379),
                *(service(node, node.removeprefix(f"{APP}-")[:-7], 1, node=node) for node in NODES),
            ],
            messages or {},
            said={each["metadata"]["name"]: Said() for each in pods},
            writable=WRITABLE,
        ),
        NOW,
    )


def all_pods() -> list[Manifest]:
    servers = [pod("redis-server", 0, role="replica"), pod("redis-server", 1, role="master")]
    return [*servers, *(pod("redis-sentinel", n) for n in range(3))]


def test_an_app_whose_nodes_are_all_ready() -> None:
    statuses = sentinel(running(), all_pods())
    assert statuses.app["ready"] == "5/5"
    assert statuses.app["primary"] == f"{APP}-redis-server-data-1"
    assert statuses.app["components"] == [
        {"name": "redis-server", "ready": 2, "total": 2, "primary": f"{APP}-redis-server-data-1"},
        {"name": "redis-sentinel", "ready": 3, "total": 3},
    ]
    ready = condition(statuses.app, "Ready")
    assert (ready["status"], ready["reason"], ready["observedGeneration"]) == ("True", "AllNodesReady", 1)
    assert condition(statuses.app, "Degraded")["status"] == "False"
    assert (statuses.app["phase"], statuses.app["message"]) == ("Running", "as wanted")
    assert statuses.app["observedGeneration"] == 1


def test_what_is_observed_of_nobody_is_not_claimed() -> None:
    """A watcher that hears no agent sees Pods, and no engine."""
    pods = all_pods()
    statuses = sentinel(running(), pods)
    assert condition(statuses.app, "SingleHolder")["status"] == "True"
    snapshot = Snapshot(running(), [component("redis-server")], [group("redis-server", 2)], pods[:2], [])
    unheard = summarize(snapshot, NOW).app
    assert unheard["phase"] == "Degraded"
    assert "has not been heard yet" in unheard["message"]
    assert condition(unheard, "SingleHolder")["status"] == "Unknown"


def test_the_message_is_of_the_generation_that_was_looked_at() -> None:
    """Else whoever waits for a new spec would take the answer to the old one for it."""
    edited = running()
    edited["metadata"]["generation"] = 2
    statuses = sentinel(edited, all_pods())
    assert statuses.app["observedGeneration"] == 1
    assert (statuses.app["phase"], statuses.app["message"]) == (
        "Updating",
        "generation 2 of the spec is yet to be looked at",
    )


def test_the_runtime_version_in_effect_is_that_of_the_pods() -> None:
    """The Groups say at once what an upgrade is only about to bring."""
    found = [pod("redis-server", 0), pod("redis-server", 1)]
    for each, version in zip(found, ("8.0", "7.0"), strict=True):
        each["metadata"]["labels"]["middleware.io/runtime-version"] = version
    between = summarize(Snapshot(running(), [], [group("redis-server", 2)], found, []), NOW)
    assert between.app["runtimeVersion"] == "7.0, 8.0"
    assert summarize(Snapshot(running(), [], [], found[:1], []), NOW).app["runtimeVersion"] == "8.0"


def test_endpoints_are_those_of_components_and_roles_with_the_main_port() -> None:
    endpoints = sentinel(running(), all_pods()).app["endpoints"]
    assert [e["address"] for e in endpoints] == [
        "cache-redis-sentinel.demo.svc:26379",
        "cache-redis-server.demo.svc:6379",
        "cache-redis-server-master.demo.svc:6379",
    ]
    assert [(e["component"], e["serves"]) for e in endpoints] == [
        ("redis-sentinel", "AnyNode"),
        ("redis-server", "AnyNode"),
        ("redis-server", "Writes"),
    ]


def test_a_node_that_is_not_ready_degrades_and_is_named_with_its_agents_words() -> None:
    pods = all_pods()
    pods[0] = pod("redis-server", 0, ready=False)
    statuses = sentinel(running(), pods, {pods[0]["metadata"]["name"]: "loading the dataset, 40 %"})
    ready = condition(statuses.app, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NodesNotReady")
    assert f"{APP}-redis-server-data-0" in ready["message"]
    assert condition(statuses.app, "Degraded")["status"] == "True"
    entry = statuses.groups[f"{APP}-redis-server-data"]["nodes"][0]
    assert (entry["ready"], entry["message"]) == (False, "loading the dataset, 40 %")
    assert statuses.components[f"{APP}-redis-server"]["ready"] == 1


def test_a_writable_role_that_nobody_holds_is_told() -> None:
    pods = [pod("redis-server", n, role="replica") for n in range(2)] + [pod("redis-sentinel", n) for n in range(3)]
    statuses = sentinel(running(), pods)
    assert condition(statuses.app, "Ready")["reason"] == "RoleVacant"
    assert statuses.app["primary"] == ""
    assert "primary" not in statuses.components[f"{APP}-redis-server"]


def test_the_first_deploy_is_not_ready_whatever_the_counts_say() -> None:
    for phase in ("Pending", "Deploying"):
        statuses = sentinel(app(phase=phase), all_pods())
        assert condition(statuses.app, "Ready")["reason"] == "Deploying"
        assert condition(statuses.app, "Degraded")["status"] == "False"


def test_an_operation_that_waits_is_still_the_first_deploy_only_where_none_has_ended() -> None:
    for phase in ("Waiting", "Paused"):
        begun = sentinel(app(phase=phase, deployed={"plugin": "redis", "specHash": ""}), all_pods()).app
        assert condition(begun, "Ready")["reason"] == "Deploying"
        assert condition(sentinel(app(phase=phase, deployed=DEPLOYED), all_pods()).app, "Ready")["status"] == "True"


def test_one_that_was_refused_and_paused_before_its_first_deploy_has_not_begun() -> None:
    """The reason of its refusal stood where "Deploying" was looked for, and it counted as degraded."""
    refused = {"type": "Ready", "status": "False", "reason": "InvalidSpec", "lastTransitionTime": NOW}
    status = summarize(Snapshot(app(phase="Paused", conditions=[refused]), [], [], [], []), NOW).app
    assert (condition(status, "Ready")["reason"], condition(status, "Degraded")["status"]) == ("Deploying", "False")


def test_one_that_was_refused_and_paused_since_has() -> None:
    refused = {"type": "Ready", "status": "False", "reason": "InvalidSpec", "lastTransitionTime": NOW}
    status = sentinel(app(phase="Paused", conditions=[refused], deployed=DEPLOYED), all_pods()).app
    assert condition(status, "Ready")["status"] == "True"


def test_a_refused_spec_is_told_with_its_reason() -> None:
    refused = {"type": "Accepted", "status": "False", "reason": "InvalidSpec", "message": "spec.topology: unknown"}
    statuses = sentinel(app(phase="Refused", observedGeneration=2, conditions=[refused]), all_pods())
    ready = condition(statuses.app, "Ready")
    assert (ready["reason"], ready["message"]) == ("InvalidSpec", "spec.topology: unknown")
    assert ready["observedGeneration"] == 2
    assert condition(statuses.app, "Degraded")["status"] == "False"


def test_a_refused_app_that_never_ran_is_not_degraded_and_says_why() -> None:
    refused = {"type": "Accepted", "status": "False", "reason": "InvalidSpec", "message": "spec.topology: unknown"}
    statuses = summarize(Snapshot(app(phase="Refused", conditions=[refused]), [], [], [], []), NOW)
    degraded = condition(statuses.app, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("False", "InvalidSpec")
    assert degraded["message"] == "spec.topology: unknown"


def test_a_deleted_app_is_not_ready() -> None:
    application = running()
    application["metadata"]["deletionTimestamp"] = NOW
    assert condition(sentinel(application, all_pods()).app, "Ready")["reason"] == "Deleting"


def test_the_time_of_a_condition_moves_only_with_its_status() -> None:
    earlier = "2025-01-01T00:00:00Z"
    known = {"type": "Ready", "status": "True", "reason": "Else", "lastTransitionTime": earlier}
    statuses = sentinel(running(conditions=[known]), all_pods())
    assert condition(statuses.app, "Ready")["lastTransitionTime"] == earlier
    assert condition(statuses.app, "Degraded")["lastTransitionTime"] == NOW


def test_the_successor_counts_where_the_old_pod_still_terminates() -> None:
    pods = all_pods()
    pods[0]["metadata"]["deletionTimestamp"] = NOW
    successor = pod("redis-server", 0, suffix="b")
    entry = sentinel(running(), [*pods, successor]).groups[f"{APP}-redis-server-data"]["nodes"][0]
    assert (entry["pod"], entry["ready"]) == (successor["metadata"]["name"], True)


def test_what_a_dead_pod_said_last_does_not_count_for_the_node_that_its_successor_is() -> None:
    """The machine is away, so its Pod stays and is silent; the node runs elsewhere, as a replica of the new primary."""
    dead, *others = all_pods()
    dead["metadata"]["labels"]["middleware.io/role"] = "master"
    successor = pod("redis-server", 0, suffix="b", role="replica")
    successor["metadata"]["creationTimestamp"] = NOW
    dead_name, name, primary = (each["metadata"]["name"] for each in (dead, successor, others[0]))
    for order in ([dead, successor, *others], [successor, dead, *others]):
        said = {each["metadata"]["name"]: Said() for each in order} | {dead_name: Said(silence="the agent hangs")}
        snapshot = Snapshot(
            running(),
            [component("redis-server")],
            [group("redis-server", 2)],
            order,
            SERVICES,
            said=said,
            writable=WRITABLE,
            claims={dead_name: "master", name: "replica", primary: "master"},
        )
        statuses = summarize(snapshot, NOW)
        assert "both claim" not in statuses.app["message"]
        assert condition(statuses.app, "SingleHolder")["status"] == "Unknown"
        assert condition(statuses.app, "Ready")["status"] == "True"


def test_a_pod_that_cannot_be_scheduled_or_pulled_says_so() -> None:
    pods = all_pods()
    pods[0] = pod("redis-server", 0, ready=False)
    pods[0]["status"]["conditions"][0] = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes fit"}
    pods[1] = pod("redis-server", 1, ready=False)
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    container = {"name": "middleware", "image": "redis:99", "state": {"waiting": waiting}}
    pods[1]["status"]["containerStatuses"] = [container]
    nodes = sentinel(running(), pods).groups[f"{APP}-redis-server-data"]["nodes"]
    assert nodes[0]["message"] == "cannot be scheduled: 0/1 nodes fit"
    assert nodes[1]["message"] == "the image redis:99 cannot be pulled (ImagePullBackOff): no such image"


def test_a_group_counts_existing_nodes_and_carries_its_selector_for_scale() -> None:
    statuses = sentinel(running(), all_pods()[:1])
    status = statuses.groups[f"{APP}-redis-server-data"]
    assert (status["replicas"], status["ready"], status["observedGeneration"]) == (1, 1, 2)
    assert status["nodes"][1]["message"] == "has no Pod"
    assert status["selector"] == (
        "middleware.io/app=cache,middleware.io/component=redis-server,middleware.io/group=data"
    )


def test_a_group_with_a_reserved_ordinal_counts_the_nodes_that_it_has() -> None:
    data = group("redis-server", 2)
    data["spec"]["reserveOrdinals"] = [1]
    pods = [pod("redis-server", n, role="master" if n == 2 else "replica") for n in (0, 2)]
    said = {each["metadata"]["name"]: Said() for each in pods}
    snapshot = Snapshot(running(), [component("redis-server")], [data], pods, SERVICES, said=said, writable=WRITABLE)
    statuses = summarize(snapshot, NOW)
    nodes = statuses.groups[f"{APP}-redis-server-data"]["nodes"]
    assert [node["name"] for node in nodes] == [f"{APP}-redis-server-data-0", f"{APP}-redis-server-data-2"]
    assert (statuses.app["ready"], statuses.app["primary"]) == ("2/2", f"{APP}-redis-server-data-2")
    assert condition(statuses.app, "Ready")["status"] == "True"


def test_a_node_on_its_way_out_is_counted_by_kubectl_scale_and_missed_by_nobody() -> None:
    data = group("redis-server", 2)
    data["spec"]["reserveOrdinals"] = [1]
    pods = [pod("redis-server", n) for n in (0, 1, 2)]
    statuses = summarize(Snapshot(running(), [component("redis-server")], [data], pods, []), NOW)
    assert statuses.groups[f"{APP}-redis-server-data"]["replicas"] == 3
    assert statuses.app["ready"] == "2/2"


def test_an_app_without_any_object_yet() -> None:
    statuses = summarize(Snapshot(app(), [], [], [], []), NOW)
    assert statuses.app["ready"] == "0/0"
    assert condition(statuses.app, "Ready")["reason"] == "Deploying"


def test_only_what_differs_is_written() -> None:
    application = running()
    wanted = sentinel(application, all_pods()).app
    activities = {"type": "Accepted", "status": "True", "reason": "Valid"}
    present = {**wanted, "phase": "Running", "conditions": [activities, *wanted["conditions"]]}
    assert not differs(present, wanted)
    assert differs({**present, "ready": "4/5"}, wanted)
    assert differs({**present, "conditions": [activities]}, wanted)
    assert differs(
        {"ready": 1, "total": 1, "primary": "gone", "conditions": []}, {"ready": 1, "total": 1, "conditions": []}
    )
