"""Builds the images: `python -m deploy.images.build [--output DIR] [--refresh] [name ...]`, or `build()`.

Each image becomes one archive, `<cache>/images/<name>-<tag>-<key>.tar`, for `ctr -n k8s.io images import`. The key is
over everything that goes into the image, so a new file name means new content, and an unchanged image costs nothing.
"""

import argparse
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.images import bases, commands, host, keys, requirements
from deploy.images.catalog import REPOSITORY, Image, catalog, select
from deploy.images.store import Store

DEFAULT_CACHE = Path("/var/cache/middleware-platform")
# Archives of one image that stay: the current one, and the one before for whoever is just loading it.
KEPT = 2

Report = Callable[[str], None]


def cache_folder() -> Path:
    """The shared cache, from MW_CACHE."""
    return Path(os.environ.get("MW_CACHE", DEFAULT_CACHE))


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
    return Recipe(image, Path(__file__).parent / image.name, repository, wanted)


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
    shutil.copytree(recipe_.folder, folder, ignore=shutil.ignore_patterns("runtime"))
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


class Builder:
    """Builds images into one cache; holds the cache's lock as long as it works."""

    def __init__(self, cache: Path, repository: Path, report: Report, *, refresh: bool = False) -> None:
        self.cache = cache
        self.repository = repository
        self.folder = cache / "images"
        self.report = report
        self.refresh = refresh
        self.log = self.folder / "build.log"
        self.storage = self.folder / "storage"
        self.store = Store(self.storage, self.run)
        self._bases: dict[str, str] = {}
        self._archives: host.Archives | None = None

    def run(self, command: list[str]) -> None:
        # Debian's package scripts ask nobody; the language of messages is fixed because they are kept in a log.
        commands.run(command, self.log, {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})

    def base(self, suite: str) -> str:
        """The digest of a release's base, made and put into the storage where it is not there yet."""
        if suite not in self._bases:
            known = bases.known_digest(suite, self.storage)
            self._bases[suite] = known if known and not self.refresh else self._make_base(suite)
        return self._bases[suite]

    def _make_base(self, suite: str) -> str:
        started = time.monotonic()
        self._archives = self._archives or host.machine_archives()
        tar, digest = bases.make(suite, self.storage, self._archives, self.run)
        context = bases.context(tar, self.folder / "context" / f"base-{suite}")
        self.store.build(bases.reference(suite), context, {})
        shutil.rmtree(context)
        bases.record(suite, self.storage, digest)
        size = tar.stat().st_size / 1e6
        tar.unlink()  # it lives on in the storage
        self.report(f"debian {suite}: made in {time.monotonic() - started:.1f} s, {size:.0f} MB")
        return digest

    def _runtime(self, recipe_: Recipe) -> tuple[str, str]:
        """The name in the storage and the key of what an image's own files go onto, made where it is not there yet."""
        suite = recipe_.image.suite
        base_digest = self.base(suite)
        if recipe_.requirements is None:
            return bases.reference(suite), base_digest
        reference = f"localhost/middleware-{recipe_.image.name}-runtime"
        key = recipe_.runtime_key(base_digest)
        made = self.storage / f"{recipe_.image.name}-runtime.key"
        if made.exists() and made.read_text() == key and not self.refresh:
            return reference, key
        started = time.monotonic()
        made.unlink(missing_ok=True)
        wheels = requirements.wheels(recipe_.requirements, self.cache, self.run)
        context = stage_runtime(recipe_, wheels, self.folder / "context" / f"{recipe_.image.label}-runtime")
        self.store.build(reference, context, {"BASE": bases.reference(suite)})
        shutil.rmtree(context)
        made.write_text(key)
        self.report(f"{recipe_.image.name} runtime: built in {time.monotonic() - started:.1f} s")
        return reference, key

    def image(self, image: Image) -> Path:
        """The archive of an image, built where it is not there yet. Raises BuildError."""
        recipe_ = recipe(image, self.repository)
        below, below_key = self._runtime(recipe_)
        started = time.monotonic()
        key = recipe_.key(below_key)
        archive = self.folder / f"{image.label}-{key}.tar"
        if archive.exists() and not self.refresh:
            archive.touch()
            self.report(f"{image.name}:{image.tag}: unchanged")
            return archive
        context = stage(recipe_, key, self.folder / "context" / image.label)
        while key != (now := recipe_.key(below_key)):  # somebody saved a file meanwhile: the key must tell the truth
            key = now
            archive = self.folder / f"{image.label}-{key}.tar"
            context = stage(recipe_, key, self.folder / "context" / image.label)
        self.store.build(image.reference, context, {"BASE": below})
        self.store.save(image.reference, archive)
        shutil.rmtree(context)
        self._remove_older(image)
        size = archive.stat().st_size / 1e6
        self.report(f"{image.name}:{image.tag}: built in {time.monotonic() - started:.1f} s, {size:.0f} MB")
        return archive

    def _remove_older(self, image: Image) -> None:
        archives = sorted(self.folder.glob(f"{image.label}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
        for archive in archives[KEPT:]:
            archive.unlink()
        self.store.prune()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One build at a time per cache; a second one waits and then finds everything made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(
    names: Sequence[str] = (),
    cache: Path | None = None,
    *,
    report: Report = print,
    refresh: bool = False,
    repository: Path = REPOSITORY,
) -> dict[str, Path]:
    """Builds the named images (see `catalog.select`; none: all) and returns archives by image reference.

    `report` gets one line per image; details go to `<cache>/images/build.log`. `refresh` takes today's Debian packages
    instead of what was made before. Raises ValueError for an unknown name, PermissionError without root, BuildError.
    """
    cache = cache or cache_folder()
    images = select(list(names), catalog(repository))
    builder = Builder(cache, repository, report, refresh=refresh)
    with locked(builder.folder):
        host.ensure_programs(builder.run)
        return {image.reference: builder.image(image) for image in images}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.images.build", description="Builds the container images.")
    parser.add_argument(
        "names", nargs="*", metavar="name", help="platform, redis:7.0, redis (all tags); none: all images"
    )
    parser.add_argument("--output", type=Path, help="also put the archives into this folder, named <name>-<tag>.tar")
    parser.add_argument("--refresh", action="store_true", help="build again with today's Debian packages")
    arguments = parser.parse_args()
    try:
        archives = build(arguments.names, refresh=arguments.refresh, report=lambda line: print(line, flush=True))
        for reference, archive in archives.items():
            if arguments.output:
                arguments.output.mkdir(parents=True, exist_ok=True)
                name = reference.rpartition("/")[2].replace(":", "-")
                shutil.copyfile(archive, arguments.output / f"{name}.tar")
    except (commands.BuildError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
