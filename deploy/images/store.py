"""Buildah with a storage of its own, below the cache: the machine's own images and containers are never touched.

Isolation by chroot needs neither a container runtime nor cgroups, so it works inside other containers too.
"""

from collections.abc import Callable
from pathlib import Path


class Store:
    """One buildah storage. `run` runs a command and raises where it fails."""

    def __init__(self, folder: Path, run: Callable[[list[str]], None]) -> None:
        self._run = run
        self._options = [
            "--root",
            str(folder / "root"),
            "--runroot",
            str(folder / "run"),
            "--storage-driver",
            "overlay",
        ]

    def _buildah(self, command: str, *arguments: str) -> None:
        self._run(["buildah", *self._options, command, *arguments])

    def build(
        self, reference: str, context: Path, *, base: str | None = None, package_lists: Path | None = None
    ) -> None:
        """Builds `context`/Containerfile, all steps of it: what is unchanged is not built at all (see `keys`).

        `base` is the image below it; `package_lists` are what `apt-get update` finds there already, as if it had just
        been run. What it changes in them is forgotten.
        """
        options = ["--build-arg", f"BASE={base}"] if base else []
        if package_lists:
            options += ["--volume", f"{package_lists}:/var/lib/apt/lists:O"]
        self._buildah(
            "build", "--isolation", "chroot", "--pull=never", "--layers=false", "--format", "docker", *options,
            "--tag", reference, "--file", str(context / "Containerfile"), str(context),
        )  # fmt: skip

    def save(self, reference: str, archive: Path) -> None:
        """Writes an image as an archive that `ctr images import` reads. Layers stay uncompressed: it stays local."""
        partial = archive.with_name(archive.name + ".partial")
        partial.unlink(missing_ok=True)
        self._buildah("push", "--quiet", reference, f"docker-archive:{partial}:{reference}")
        partial.rename(archive)

    def prune(self) -> None:
        """Removes what no name leads to any more: the former content of names that were built again.

        Working containers go first: one of a build that was killed would hold its image for ever. The cache's lock says
        that no build is running.
        """
        self._buildah("rm", "--all")
        self._buildah("rmi", "--prune")
