"""What an API server has against a Pod is told by the App's own fields."""

from __future__ import annotations

import pytest

from render.validation.pod_refusals import app_field, forbidden_pod, refused_pod

GROUP = "spec.components[0].groups[1]"
QUOTA = 'pods "x.dry-run" is forbidden: failed quota: q: must specify limits.cpu for: install,middleware,tools'


@pytest.mark.parametrize(
    ("field", "of_the_app"),
    [
        ("spec.affinity.nodeAffinity.x[0].weight", f"{GROUP}.affinity.nodeAffinity.x[0].weight"),
        ("spec.tolerations[0].operator", f"{GROUP}.tolerations[0].operator"),
        ("spec.topologySpreadConstraints[2].maxSkew", f"{GROUP}.topologySpreadConstraints[2].maxSkew"),
        ("spec.nodeSelector", f"{GROUP}.nodeSelector"),
        ("spec.containers[0].resources.limits[memory]", f"{GROUP}.resources.limits.memory"),
        ("spec.containers[1].resources.requests", f"{GROUP}.agentResources.requests"),
        ("spec.initContainers[0].resources.limits[cpu]", f"{GROUP}.agentResources.limits.cpu"),
        ("spec.hostname", GROUP),
        ("", GROUP),
    ],
)
def test_a_field_of_the_pod_is_one_of_the_app(field: str, of_the_app: str) -> None:
    assert app_field(GROUP, field) == of_the_app


@pytest.mark.parametrize(
    "message",
    [
        'Pod in version "v1" cannot be handled: strict decoding error: unknown field "spec.affinity.nodeAfinity"',
        "json: cannot unmarshal string into Go struct field Affinity.spec.affinity.nodeAfinity of type v1.NodeAffinity",
    ],
)
def test_a_field_that_stands_in_the_sentence_only_is_found(message: str) -> None:
    (problem,) = refused_pod(GROUP, (), message)
    assert problem.path == f"{GROUP}.affinity.nodeAfinity"
    assert problem.message == message


def test_each_cause_is_a_problem_of_its_own() -> None:
    causes = [("spec.tolerations[0].effect", "Unsupported value"), ("spec.nodeSelector", "Invalid value")]
    assert [str(each) for each in refused_pod(GROUP, causes, "both")] == [
        f"{GROUP}.tolerations[0].effect: Unsupported value",
        f"{GROUP}.nodeSelector: Invalid value",
    ]


def test_a_quota_names_the_fields_to_write() -> None:
    (problem,) = forbidden_pod(GROUP, QUOTA)
    assert problem.path == f"{GROUP}.resources"
    assert problem.message.endswith("; write resources.limits.cpu, agentResources.limits.cpu")
    assert "must specify limits.cpu" in problem.message


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        (
            "failed quota: must specify limits.cpu,limits.memory for: install,tools; requests.memory for: middleware",
            "agentResources.limits.cpu, agentResources.limits.memory, resources.requests.memory",
        ),
        ("failed quota: q: must specify cpu", "resources.requests.cpu, agentResources.requests.cpu"),
    ],
)
def test_a_quota_on_several_amounts_names_each_where_it_is_missing(said: str, fields: str) -> None:
    (problem,) = forbidden_pod(GROUP, said)
    assert problem.message.endswith(f"; write {fields}")


def test_a_limit_range_says_whose_amounts_they_are() -> None:
    (problem,) = forbidden_pod(GROUP, "minimum memory usage per Container is 100Mi, but request is 48Mi")
    assert "agentResources those of the agents" in problem.message
