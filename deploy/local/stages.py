"""The whole of `make up`: the cluster, then the images, then the platform on it, then the example App.

The stages after the first are other modules, found when they are needed: the cluster alone must come up with nothing
but the standard library, rich and cryptography.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from deploy.local.errors import LocalError
from deploy.local.instance import Instance
from deploy.local.paths import cache_root
from deploy.local.progress import Progress

PLATFORM = "deploy.local.platform"
IMAGES = "deploy.images.build"


def bring_up(instance: Instance, *, cluster_only: bool) -> None:
    """An embedded cluster with the platform and the example App on it; with `cluster_only` the bare cluster."""
    instance.up()
    if cluster_only:
        return
    platform = importlib.import_module(PLATFORM)
    with instance.progress.step("Images"):
        for archive in build_images(platform.IMAGES, instance.progress).values():
            instance.load_image(archive)
    with instance.progress.step("Platform"):
        platform.install(instance)
    with instance.progress.step("Example App"):
        platform.apply_example(instance)


def bring_up_current(progress: Progress) -> None:
    """The platform on the cluster that the kubeconfig names: nothing of ours is started on this machine."""
    platform = importlib.import_module(PLATFORM)
    with progress.step("Platform on the current cluster"):
        platform.install_current(progress)


def build_images(names: list[str], progress: Progress) -> dict[str, Path]:
    """The archive of each image, from the cache where its content is unchanged."""
    progress.update(f"building {', '.join(names)}")
    built: dict[str, Path] = importlib.import_module(IMAGES).build(names, cache_root() / "images")
    missing = set(names) - set(built)
    if missing:
        raise LocalError(f"The image build gave no {', '.join(sorted(missing))}")
    return built
