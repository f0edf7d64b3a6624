"""What every instance shares, made before one is started: Debian packages, the cluster's programs, the images.

All of it stays on the machine or in the cache, each part under a lock: a second run waits and then finds it made. The
programs keep both cores of a small machine busy, the images mostly wait for Debian's archive: so they are made side by
side.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import machine, versions
from deploy.local.errors import LocalError
from deploy.local.paths import cache_root
from deploy.local.programs import Finder
from deploy.local.progress import Part, Progress

if TYPE_CHECKING:
    from deploy.images.builder import Made

# Loaded when needed: the bare cluster must come up with nothing but the standard library, rich and cryptography.
IMAGE_BUILD = "deploy.images.build"
IMAGE_HOST = "deploy.images.host"


def everything(progress: Progress) -> None:
    """All that `make up` makes before it starts anything. Raises LocalError with what is in the way."""
    packages(progress, images=True)
    with images_beside(progress):
        programs(progress)


def packages(progress: Progress, *, images: bool) -> None:
    """The Debian packages that the cluster needs, with `images` also those that build images, in one installation."""
    machine.check_user()
    missing = machine.missing_packages()
    if images:
        missing |= importlib.import_module(IMAGE_HOST).missing_packages()
    if missing:
        with progress.step("Debian packages") as step:
            machine.install(sorted(missing), progress)
            step.made = "installed"


def programs(progress: Progress) -> dict[str, Path]:
    """The path of each program that an instance runs."""
    title = f"Programs (Kubernetes {versions.KUBERNETES}, Temporal {versions.TEMPORAL})"
    with progress.step(title) as step:
        finder = Finder.default(cache_root(), progress)
        found = finder.find_all()
        step.made = finder.made
    return found


def images(progress: Progress, names: Sequence[str] = ()) -> dict[str, Path]:
    """The archives of these images (none named: all) by reference, built where they changed."""
    module = importlib.import_module(IMAGE_BUILD)
    with progress.step("Images") as step:
        step.made = "cached"

        def report(made: Made) -> None:
            progress.update(str(made), step=step)
            if made.built:
                step.made = "built"
                step.parts.append(Part(made.name, made.seconds, "built"))

        try:
            built: dict[str, Path] = module.build(list(names), cache_root(), report=report)
        except (module.commands.BuildError, ValueError, OSError) as error:
            raise LocalError(f"The images could not be built: {error}") from error
    return built


@contextmanager
def images_beside(progress: Progress) -> Iterator[Future[dict[str, Path]]]:
    """Build all images while the body does something else; the end waits for them and raises what they raise."""
    with ThreadPoolExecutor(1, "images") as pool:
        building = pool.submit(images, progress)
        yield building
        building.result()
