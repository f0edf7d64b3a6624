"""What people may do by the roles that the chart brings, as the API server decides it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.support.kube import Kube, KubectlError

pytestmark = pytest.mark.e2e
NAMESPACE, SYSTEM, JANE = "rights", "middleware-system", "jane"


@pytest.fixture(scope="module")
def reader(kube: Kube) -> Iterator[Kube]:
    """Jane may view one namespace, and is a reader of the platform's."""
    kube.namespace(NAMESPACE)
    kube.run("create", "rolebinding", "jane-views", "-n", NAMESPACE, "--clusterrole=view", f"--user={JANE}")
    kube.run("create", "rolebinding", "jane-reads", "-n", SYSTEM, "--role=middleware-reader", f"--user={JANE}")
    yield kube
    kube.delete("rolebinding", "jane-reads", SYSTEM)
    kube.delete("namespace", NAMESPACE, NAMESPACE, "--wait=false")


def may(kube: Kube, namespace: str, verb: str, what: str, user: str = JANE) -> bool:
    try:
        return kube.run("auth", "can-i", verb, what, "-n", namespace, f"--as={user}").strip() == "yes"
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
