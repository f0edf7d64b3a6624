"""Builds images into one cache, side by side: each part as soon as what it stands on is there."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from deploy.images import bases, commands, host, requirements
from deploy.images.catalog import Image
from deploy.images.recipe import Recipe, recipe, stage, stage_runtime
from deploy.images.store import Store

# Archives of one image that stay: the current one, and the one before for whoever is just loading it.
KEPT = 2


@dataclass(frozen=True)
class Made:
    """A part of the build that is done: a base, a runtime or an image; built, or there already."""

    name: str
    seconds: float
    built: bool
    size: int = 0

    def __str__(self) -> str:
        if not self.built:
            return f"{self.name}: unchanged"
        return f"{self.name}: built in {self.seconds:.1f} s" + (f", {self.size / 1e6:.0f} MB" if self.size else "")


Report = Callable[[Made], None]


class Builder:
    """Builds images into one cache; only under the cache's lock (see `build.locked`), and once."""

    def __init__(self, cache: Path, repository: Path, report: Report, *, refresh: bool = False) -> None:
        self.cache = cache
        self.repository = repository
        self.folder = cache / "images"
        self.report = report
        self.refresh = refresh
        self.storage = self.folder / "storage"
        self._archives = host.machine_archives()
        # The programs wait for archives, registries and disks: more of them at once than there are processors.
        self._turn = threading.BoundedSemaphore((os.cpu_count() or 1) + 2)
        self._failed = threading.Event()
        self._lock = threading.Lock()
        self._bases: dict[str, Future[str]] = {}
        self._built = False

    def build(self, images: Sequence[Image]) -> dict[str, Path]:
        """The archives of the images by reference. Raises BuildError, of what failed first."""
        with ThreadPoolExecutor(2 * len(images)) as self._pool:
            building = {image.reference: self._pool.submit(self._image, image) for image in images}
            done, _ = wait(building.values(), return_when=FIRST_EXCEPTION)
            for each in done:
                if each.exception():
                    self._failed.set()
                each.result()
        if self._built:
            self._remove_older(images)
        return {reference: each.result() for reference, each in building.items()}

    def runner(self, part: str) -> Callable[[list[str]], None]:
        """What runs the commands of a part of the build, with their output in a log of its own."""
        log = self.folder / "logs" / f"{part}.log"
        log.unlink(missing_ok=True)

        def run(command: list[str]) -> None:
            with self._turn:
                if self._failed.is_set():
                    raise commands.BuildError(f"{part} was given up: another part of the build has failed")
                # Debian's package scripts ask nobody; the language of messages is fixed because they are kept in a log.
                commands.run(command, log, {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})

        return run

    def _made(self, name: str, started: float, size: int = 0) -> None:
        self._built = True
        self.report(Made(name, time.monotonic() - started, built=True, size=size))

    def _base(self, suite: str) -> str:
        """The digest of a release's base, made by whoever first needs it where it is not in the storage yet."""
        with self._lock:
            mine = suite not in self._bases
            base = self._bases.setdefault(suite, Future())
        if mine:
            try:
                known = None if self.refresh else bases.known_digest(suite, self.storage)
                base.set_result(known or self._make_base(suite))
            except BaseException as error:
                base.set_exception(error)
        return base.result()

    def _make_base(self, suite: str) -> str:
        started = time.monotonic()
        run = self.runner(f"debian-{suite}")
        tar, digest = bases.make(suite, self.storage, self._archives, run)
        context = bases.context(tar, self.folder / "context" / f"base-{suite}")
        Store(self.storage, run).build(bases.reference(suite), context)
        shutil.rmtree(context)
        bases.record(suite, self.storage, digest)
        size = tar.stat().st_size
        tar.unlink()  # it lives on in the storage
        self._made(f"debian {suite}", started, size)
        return digest

    def _runtime(self, recipe_: Recipe) -> tuple[str, str]:
        """The name in the storage and the key of what an image's own files go onto, made where it is not there yet."""
        image = recipe_.image
        if recipe_.requirements is None:
            return bases.reference(image.suite), self._base(image.suite)
        reference = f"localhost/middleware-{image.name}-runtime"
        recorded = self.storage / f"{image.name}-runtime.key"
        present = recorded.read_text() if recorded.exists() and not self.refresh else None
        known = bases.known_digest(image.suite, self.storage)
        if present and known and present == recipe_.runtime_key(known):
            return reference, present
        started = time.monotonic()
        recorded.unlink(missing_ok=True)
        wheels = self._pool.submit(self._wheels, recipe_)  # they come while the base is made
        key = recipe_.runtime_key(self._base(image.suite))
        context = stage_runtime(recipe_, wheels.result(), self.folder / "context" / f"{image.label}-runtime")
        self._build(f"{image.label}-runtime", reference, context, image.suite, bases.reference(image.suite))
        recorded.write_text(key)
        self._made(f"{image.name} runtime", started)
        return reference, key

    def _wheels(self, recipe_: Recipe) -> Path:
        return requirements.wheels(recipe_.requirements or "", self.cache, self.runner(f"{recipe_.image.label}-wheels"))

    def _image(self, image: Image) -> Path:
        """The archive of an image, built where it is not there yet."""
        recipe_ = recipe(image, self.repository)
        below, below_key = self._runtime(recipe_)
        started = time.monotonic()
        key = recipe_.key(below_key)
        archive = self.folder / f"{image.label}-{key}.tar"
        if archive.exists() and not self.refresh:
            archive.touch()
            self.report(Made(f"{image.name}:{image.tag}", time.monotonic() - started, built=False))
            return archive
        context = stage(recipe_, key, self.folder / "context" / image.label)
        while key != (now := recipe_.key(below_key)):  # somebody saved a file meanwhile: the key must tell the truth
            key = now
            archive = self.folder / f"{image.label}-{key}.tar"
            context = stage(recipe_, key, self.folder / "context" / image.label)
        self._build(image.label, image.reference, context, image.suite, below).save(image.reference, archive)
        self._made(f"{image.name}:{image.tag}", started, archive.stat().st_size)
        return archive

    def _build(self, part: str, reference: str, context: Path, suite: str, below: str) -> Store:
        store = Store(self.storage, self.runner(part))
        store.build(reference, context, base=below, package_lists=bases.package_lists(suite, self.storage))
        shutil.rmtree(context)
        return store

    def _remove_older(self, images: Sequence[Image]) -> None:
        for image in images:
            found = sorted(
                self.folder.glob(f"{image.label}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True
            )
            for archive in found[KEPT:]:
                archive.unlink()
        Store(self.storage, self.runner("prune")).prune()
