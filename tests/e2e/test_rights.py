"""What people may do by the roles that the chart brings, as the API server decides it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.support.kube import Kube, KubectlError

pytestmark = pytest.mark.e2e
NAMESPACE, SYSTEM, JANE = "rights", "middleware-system", "jane"
TENANTS = {"edit": "edith", "admin": "adam"}
"""Who holds Kubernetes' role for a tenant in the namespace, by role."""


@pytest.fixture(scope="module")
def reader(kube: Kube) -> Iterator[Kube]:
    """Jane may view one namespace, and is a reader of the platform's."""
    kube.namespace(NAMESPACE)
    kube.run("create", "rolebinding", "jane-views", "-n", NAMESPACE, "--clusterrole=view", f"--user={JANE}")
    kube.run("create", "rolebinding", "jane-reads", "-n", SYSTEM, "--role=middleware-reader", f"--user={JANE}")
    for role, user in TENANTS.items():
        kube.run("create", "rolebinding", f"{user}-{role}s", "-n", NAMESPACE, f"--clusterrole={role}", f"--user={user}")
    yield kube
    kube.delete("rolebinding", "jane-reads", SYSTEM)
    kube.delete("namespace", NAMESPACE, NAMESPACE, "--wait=false")


def may(kube: Kube, namespace: str, verb: str, what: str, user: str = JANE, part: str = "") -> bool:
    """``part``: a subresource of ``what``."""
    question = ["auth", "can-i", verb, what, "-n", namespace, f"--as={user}"]
    try:
        return kube.run(*question, *([f"--subresource={part}"] if part else [])).strip() == "yes"
    except KubectlError:
        return False


@pytest.mark.parametrize(
    ("namespace", "verb", "what"),
    [
        (NAMESPACE, "list", "apps.middleware.io"),
        (NAMESPACE, "get", "groups.middleware.io"),
        (SYSTEM, "list", "configmaps"),
        (SYSTEM, "get", "configmaps/plugin-redis-1.0.0"),
        (SYSTEM, "get", "deployments.apps/middleware-worker"),
    ],
)
def test_who_views_and_reads_has_what_the_command_line_needs(
    reader: Kube, namespace: str, verb: str, what: str
) -> None:
    assert may(reader, namespace, verb, what)


@pytest.mark.parametrize("verb", ["get", "list", "watch"])
@pytest.mark.parametrize("namespace", [NAMESPACE, SYSTEM])
def test_never_a_secret(reader: Kube, namespace: str, verb: str) -> None:
    assert not may(reader, namespace, verb, "secrets")


def test_nor_anything_else_of_the_platform(reader: Kube) -> None:
    assert not may(reader, SYSTEM, "list", "pods")
    assert not may(reader, SYSTEM, "get", "deployments.apps/middleware-watcher")
    assert not may(reader, SYSTEM, "patch", "configmaps")
    assert not may(reader, NAMESPACE, "patch", "apps.middleware.io")


def test_who_was_not_made_a_reader_is_none(reader: Kube) -> None:
    assert not may(reader, SYSTEM, "list", "configmaps", user="joe")


@pytest.mark.parametrize("role", sorted(TENANTS))
def test_a_tenant_writes_apps_and_scales_groups_and_nothing_that_decides(reader: Kube, role: str) -> None:
    """What the platform goes by must not be a tenant's to set: the status, Components, Groups, revisions."""
    user = TENANTS[role]
    assert may(reader, NAMESPACE, "patch", "apps.middleware.io", user)
    assert may(reader, NAMESPACE, "patch", "groups.middleware.io", user, "scale")
    for what, part in (
        ("apps.middleware.io", "status"),
        ("components.middleware.io", ""),
        ("components.middleware.io", "status"),
        ("groups.middleware.io", ""),
        ("groups.middleware.io", "status"),
        ("controllerrevisions.apps", ""),
    ):
        for verb in ("create", "patch", "delete"):
            assert not may(reader, NAMESPACE, verb, what, user, part), f"{verb} {what}/{part}"
