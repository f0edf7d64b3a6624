"""What an image is made from, the keys over it, and the build contexts in which it is laid out."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.images import keys, requirements
from deploy.images.catalog import Image


@dataclass(frozen=True)
class Recipe:
    """An image with all that decides its content but what is below it.

    An image with requirements is built in two steps, so that a change of our code never installs them again:
    `<folder>/runtime` with the wheels, then `<folder>` with our sources above it.
    """

    image: Image
    folder: Path
    repository: Path
    requirements: str | None

    def runtime_key(self, base_digest: str) -> str:
        """The key over what goes into the first step."""
        return keys.key([base_digest, keys.tree_digest(self.folder / "runtime"), self.requirements or ""])

    def key(self, below: str) -> str:
        """The key over everything that goes into the image; `below` is the key of the runtime, or the base's digest."""
        parts = [self.image.reference, below, keys.tree_digest(self.folder)]
        for source in self.image.sources:
            parts += [source, keys.tree_digest(self.repository / source)]
        return keys.key(parts)


def recipe(image: Image, repository: Path) -> Recipe:
    """Collects what an image is made from. Raises ValueError where the lock lacks what it needs."""
    wanted = None
    if image.requirements is not None:
        wanted = requirements.subset((repository / "requirements.lock").read_text(), image.requirements)
    return Recipe(image, image.folder or Path(__file__).parent / image.name, repository, wanted)


def stage_runtime(recipe_: Recipe, wheels: Path, folder: Path) -> Path:
    """Lays out the first step's context: the runtime's own files, `requirements.txt` and `wheels/`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(recipe_.folder / "runtime", folder)
    (folder / "requirements.txt").write_text(recipe_.requirements or "")
    shutil.copytree(wheels, folder / "wheels", copy_function=os.link)
    return folder


def stage(recipe_: Recipe, key: str, folder: Path) -> Path:
    """Lays out the image's context: its own files, and for images of ours `source/` and `bundle.digest`."""
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("runtime") if recipe_.image.folder is None else None
    shutil.copytree(recipe_.folder, folder, ignore=ignored)
    if recipe_.image.sources:
        (folder / "source").mkdir()
        (folder / "bundle.digest").write_text(key + "\n")
    for source in recipe_.image.sources:
        origin = recipe_.repository / source
        for path in keys.files(origin):
            target = folder / "source" / source / path.relative_to(origin)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
    return folder
