"""Volumes that can be full: each a small file system of its own, in a file of the instance, mounted where a PV says.

The embedded cluster's own volumes are directories of one disk, so none of them can be filled alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.instance import Instance
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, Manifest

SIZE = "512Mi"
BYTES = 512 * 1024 * 1024
USER = 999
"""Of the engines: nobody gives a ``hostPath`` to a Pod's group."""


def _folder(instance: Instance, app: str) -> Path:
    # Below the instance's state, whose mounts ``down`` unmounts.
    return instance.paths.state / "small-disks" / app


def make(instance: Instance, kube: Kube, app: str, count: int) -> str:
    """So many disks; the name of the StorageClass whose claims get them."""
    name = f"small-disks-{app}"
    kube.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    )
    for number in range(count):
        mounted = _folder(instance, app) / str(number)
        mounted.mkdir(parents=True)
        image = mounted.with_suffix(".ext4")
        with image.open("wb") as file:
            file.truncate(BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True)
        os.chown(mounted, USER, USER)
        kube.apply(_volume(f"{name}-{number}", name, mounted))
    return name


def _volume(name: str, storage_class: str, path: Path) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {"small-disks": storage_class}},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": storage_class,
            "hostPath": {"path": str(path)},
        },
    }


def remove(instance: Instance, kube: Kube, app: str) -> None:
    """After the App is gone."""
    name, folder = f"small-disks-{app}", _folder(instance, app)
    kube.run("delete", "persistentvolume", "-l", f"small-disks={name}", "--ignore-not-found", timeout=120)
    kube.run("delete", "storageclass", name, "--ignore-not-found")
    for mounted in sorted(folder.iterdir()) if folder.exists() else []:
        if mounted.is_mount():
            subprocess.run(["umount", str(mounted)], check=True)
    shutil.rmtree(folder, ignore_errors=True)


def folder_of(instance: Instance, app: RunningApp, node: str) -> Path:
    """Where the node's disk is mounted. Raises AssertionError where it has none of its own."""
    claims = app.kube.find("pvc", app.namespace, f"middleware.io/node={node}")
    volume = app.kube.run("get", "pv", claims[0]["spec"]["volumeName"], "-o", "jsonpath={.spec.hostPath.path}")
    disk = Path(volume)
    assert disk.is_relative_to(_folder(instance, app.name)), f"{node} has no disk of its own: {volume}"
    return disk


@contextmanager
def filled(instance: Instance, app: RunningApp, node: str) -> Iterator[None]:
    """Within, not a byte can be written to the node's volume."""
    filler = folder_of(instance, app, node) / "filler"
    try:
        with filler.open("wb") as file:
            _fill(file.fileno())
        yield
    finally:
        filler.unlink(missing_ok=True)


def _fill(descriptor: int) -> None:
    """Ever smaller pieces, until there is no room for the smallest."""
    offset, piece = 0, 64 * 1024 * 1024
    while piece >= 1024:
        try:
            os.posix_fallocate(descriptor, offset, piece)
            offset += piece
        except OSError:
            piece //= 2
