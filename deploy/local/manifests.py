"""The objects that a bare API server needs to be a cluster: DNS, the default StorageClass, and the rights of the
components that run beside it. Pure: from addresses to dictionaries."""

from __future__ import annotations

from typing import Any

from deploy.local.slots import Addresses

Object = dict[str, Any]

STORAGE_CLASS = "local"
PROVISIONER = "middleware.local/volumes"
_LABELS = {"app.kubernetes.io/part-of": "middleware-platform-local"}


def cluster_objects(addresses: Addresses) -> Object:
    """All of them as one List, for one server-side apply."""
    items = [*_dns(addresses), _storage_class(), *_rights()]
    for item in items:
        item["metadata"]["labels"] = {**_LABELS, **item["metadata"].get("labels", {})}
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _dns(addresses: Addresses) -> list[Object]:
    """CoreDNS runs beside the kubelet, not in a Pod: the Service has no selector and its endpoint is the node."""
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {"clusterIP": str(addresses.dns_service), "ports": ports},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-node",
            "namespace": "kube-system",
            "labels": {
                "kubernetes.io/service-name": "kube-dns",
                "endpointslice.kubernetes.io/managed-by": "middleware-platform-local",
            },
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [str(addresses.node)], "conditions": {"ready": True}}],
    }
    return [service, endpoints]


def _storage_class() -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }


def _rights() -> list[Object]:
    reads = ["get", "list", "watch"]
    coredns = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    volumes = [
        {
            "apiGroups": [""],
            "resources": ["persistentvolumes"],
            "verbs": [*reads, "create", "update", "patch", "delete"],
        },
        {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": [*reads, "update", "patch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "update", "patch"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": reads},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": reads},
    ]
    return [
        _role("middleware-local:coredns", coredns),
        _binding("middleware-local:coredns", "middleware-local:coredns", "middleware-local:coredns"),
        _role("middleware-local:volumes", volumes),
        _binding("middleware-local:volumes", "middleware-local:volumes", "middleware-local:volumes"),
        _binding("middleware-local:kubelet-api", "system:kubelet-api-admin", "kube-apiserver-kubelet"),
    ]


def _role(name: str, rules: list[Object]) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    }


def _binding(name: str, role: str, user: str) -> Object:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
