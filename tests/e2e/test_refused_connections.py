"""A connection to a Service that has no Pods, or is gone, is refused at once: Sentinel's peers are such at times."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.support.kube import Kube, eventually

pytestmark = pytest.mark.e2e
NAMESPACE, NAME = "refused", "nobody"


@pytest.fixture(scope="module")
def address(kube: Kube) -> Iterator[str]:
    kube.namespace(NAMESPACE)
    spec = {"selector": {"nobody": "here"}, "ports": [{"port": 6379}]}
    metadata = {"name": NAME, "namespace": NAMESPACE}
    kube.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    yield kube.service_address(NAME, NAMESPACE)
    kube.delete("service", NAME, NAMESPACE)


def first_answer(address: str) -> int:
    """The error at the first wake-up after a connect that does not block: what an event loop sees."""
    with socket.socket() as client:
        client.setblocking(False)
        assert client.connect_ex((address, 6379)) == errno.EINPROGRESS
        poll = select.poll()
        poll.register(client, select.POLLOUT | select.POLLIN)
        assert poll.poll(5000), "no answer in 5 s"
        return client.connect_ex((address, 6379))


def test_a_service_without_pods_refuses(kube: Kube, address: str) -> None:
    assert first_answer(address) == errno.ECONNREFUSED


def test_a_service_that_is_gone_refuses(kube: Kube, address: str) -> None:
    kube.delete("service", NAME, NAMESPACE)
    eventually("it is refused", lambda: first_answer(address) == errno.ECONNREFUSED)
