"""The same objects applied by plain kubectl: what a deploy costs without the platform.

An App's name may be empty everywhere: all Apps of the namespace.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.e2e.support.kube import Kube, Manifest, eventually

ORDER = ("Secret", "Service", "ConfigMap", "PersistentVolumeClaim", "PodDisruptionBudget", "Deployment")
KINDS = tuple(kind.lower() for kind in ORDER)
DROPPED_METADATA = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "ownerReferences",
    "finalizers",
)


@contextmanager
def first_config_maps(kube: Kube, app: str, namespace: str) -> Iterator[dict[str, Manifest]]:
    """By name, once the body has ended: an App's ConfigMaps as they were first written while the body deployed it.

    Once an App has run they name no node that may begin as primary, and nothing could be deployed from them.
    """
    found: dict[str, Manifest] = {}
    words = ["get", "configmap", "-n", namespace, "-l", _of(app), "--watch", "-o", "json"]
    with tempfile.TemporaryFile("w+") as output:
        watch = subprocess.Popen([kube.program, f"--kubeconfig={kube.kubeconfig}", *words], stdout=output)
        try:
            yield found
        finally:
            watch.terminate()
            watch.wait(timeout=10)
        output.seek(0)
        for item in _json_stream(output.read()):
            found.setdefault(item["metadata"]["name"], item)


def _of(app: str) -> str:
    return f"middleware.io/app={app}" if app else "middleware.io/app"


def _json_stream(text: str) -> Iterator[Manifest]:
    decoder, position = json.JSONDecoder(), 0
    while (position := text.find("{", position)) >= 0:
        try:
            item, position = decoder.raw_decode(text, position)
        except ValueError:
            return  # cut off when the watch was ended
        yield item


def export(kube: Kube, app: str, namespace: str, first: Mapping[str, Manifest] | None = None) -> list[Manifest]:
    """The App's objects as they stand, its ConfigMaps as they were at ``first``, free of what the API server added.

    Services keep their ClusterIP, since the rendered files hold it. Owners go: the App itself is deleted by then.
    """
    found: list[Manifest] = []
    for kind in KINDS:
        found += kube.find(kind, namespace, _of(app))
    begun = first or {}
    return [_plain(begun.get(i["metadata"]["name"], i) if i["kind"] == "ConfigMap" else i) for i in found]


def _plain(item: Manifest) -> Manifest:
    result: dict[str, Any] = {k: v for k, v in item.items() if k != "status"}
    metadata = dict(item["metadata"])
    for field in DROPPED_METADATA:
        metadata.pop(field, None)
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if "kubernetes.io/" not in k}
    result["metadata"] = metadata | ({"annotations": annotations} if annotations else {})
    if item["kind"] == "PersistentVolumeClaim":
        result["spec"] = {k: v for k, v in item["spec"].items() if k != "volumeName"}
    return result


def component_of(item: Manifest) -> str:
    return str(item["metadata"]["labels"].get("middleware.io/component", ""))


def apply_in_order(kube: Kube, objects: list[Manifest], components: list[str], namespace: str, app: str) -> float:
    """Seconds from the first apply until every Pod of the last component is ready, components one after another."""
    start = time.monotonic()
    first = [o for o in objects if o["kind"] in ("Secret", "Service") or not component_of(o)]
    kube.apply(*first)
    for component in components:
        own = [o for o in objects if o not in first and component_of(o) == component]
        kube.apply(*own)
        selector = f"middleware.io/app={app},middleware.io/component={component}"
        exist = partial(_exist, kube, namespace, selector, sum(o["kind"] == "Deployment" for o in own))
        eventually("its Pods exist", exist, every=0.05)
        kube.run("wait", "pod", "-l", selector, "-n", namespace, "--for=condition=Ready", "--timeout=240s", timeout=250)
    return time.monotonic() - start


def _exist(kube: Kube, namespace: str, selector: str, count: int) -> bool:
    return len(kube.find("pod", namespace, selector)) >= count


def remove(kube: Kube, namespace: str, app: str) -> None:
    """Deletes the objects and waits until they are gone."""
    selector = _of(app)
    for kind in reversed(KINDS):
        kube.run("delete", kind, "-l", selector, "-n", namespace, "--wait=true", timeout=180)
    eventually("the Pods are gone", lambda: not kube.find("pod", namespace, selector), timeout=120)
