"""The whole of `make up`: the cluster, then the images, the platform and the example App on it.

The later stages are other modules, loaded when they are needed: the cluster alone must come up with nothing but the
standard library, rich and cryptography.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from deploy.local.errors import LocalError
from deploy.local.instance import Instance
from deploy.local.paths import cache_root
from deploy.local.progress import Progress

PLATFORM = "deploy.local.platform"
IMAGE_BUILD = "deploy.images.build"


def bring_up(instance: Instance, *, cluster_only: bool, nodes: int | None = None) -> None:
    """An embedded cluster with the platform and the example App on it; with `cluster_only` the bare cluster."""
    instance.up(nodes)
    if not cluster_only:
        importlib.import_module(PLATFORM).install(instance, example=True)


def bring_up_current(progress: Progress, values: Sequence[str]) -> None:
    """The platform on the cluster that the kubeconfig names: nothing of ours is started on this machine."""
    importlib.import_module(PLATFORM).install_current(progress, values)


def load_images(instance: Instance, names: Sequence[str] = ()) -> list[str]:
    """Build these images (none named: all) where they changed, load what the nodes have not; their references.

    An archive's name tells its content, its reference does not: a newer build has the same version. So what was loaded
    is remembered by archive.
    """
    record = instance.paths.state / "images.json"
    loaded: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    present = instance.images()
    with instance.progress.step("Images"):
        archives = _build(names, instance.progress)
        for reference, archive in archives.items():
            if loaded.get(reference) == archive.name and reference in present:
                continue
            instance.progress.update(f"loading {reference}")
            instance.load_image(archive)
            loaded[reference] = archive.name
            record.write_text(json.dumps(loaded, indent=2) + "\n")
    return list(archives)


def _build(names: Sequence[str], progress: Progress) -> dict[str, Path]:
    build_module = importlib.import_module(IMAGE_BUILD)
    try:
        built: dict[str, Path] = build_module.build(list(names), cache_root(), report=progress.update)
    except (build_module.commands.BuildError, ValueError, OSError) as error:
        raise LocalError(f"The images could not be built: {error}") from error
    return built
