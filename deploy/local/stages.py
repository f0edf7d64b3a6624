"""The whole of `make up`: the cluster and beside it the images, then the platform and the example App on it.

The later stages are other modules, loaded when they are needed: the cluster alone must come up with nothing but the
standard library, rich and cryptography.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local import prepare
from deploy.local.instance import Instance
from deploy.local.progress import Progress

PLATFORM = "deploy.local.platform"


def bring_up(instance: Instance, *, nodes: int | None = None, example: bool = True) -> None:
    """An embedded cluster with the platform on it; with `example` the example App too, until it is Ready.

    The images are built while the programs are compiled and the cluster starts.
    """
    prepare.packages(instance.progress, images=True)
    with prepare.images_beside(instance.progress) as images:
        instance.up(nodes)
    load_archives(instance, images.result())
    importlib.import_module(PLATFORM).install(instance, with_example=example)


def bring_up_current(progress: Progress, values: Sequence[str]) -> None:
    """The platform on the cluster that the kubeconfig names: nothing of ours is started on this machine."""
    importlib.import_module(PLATFORM).install_current(progress, values)


def load_images(instance: Instance, names: Sequence[str] = ()) -> list[str]:
    """Build these images (none named: all) where they changed, load what the nodes have not; their references."""
    archives = prepare.images(instance.progress, names)
    load_archives(instance, archives)
    return list(archives)


def load_archives(instance: Instance, archives: Mapping[str, Path]) -> None:
    """Load these archives, by the reference of the image in each, where the nodes have them not.

    An archive's name tells its content, its reference does not: a newer build has the same version. So what was loaded
    is remembered by archive.
    """
    record = instance.paths.state / "images.json"
    loaded: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    with instance.progress.step("Images onto the nodes") as step:
        present = instance.images()
        step.made = "there already"
        for reference, archive in archives.items():
            if loaded.get(reference) == archive.name and reference in present:
                continue
            step.made = "loaded"
            instance.progress.update(f"loading {reference}")
            instance.load_image(archive)
            loaded[reference] = archive.name
            record.write_text(json.dumps(loaded, indent=2) + "\n")
