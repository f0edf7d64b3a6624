"""Buildah with a storage of its own, below the cache: the machine's own images and containers are never touched.

Isolation by chroot needs neither a container runtime nor cgroups, so it works inside other containers too.
"""

from collections.abc import Callable, Mapping
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

    def build(self, reference: str, context: Path, build_args: Mapping[str, str]) -> None:
        """Builds `context`/Containerfile, all steps of it: what is unchanged is not built at all (see `keys`)."""
        args = [word for name, value in build_args.items() for word in ("--build-arg", f"{name}={value}")]
        self._buildah(
            "build", "--isolation", "chroot", "--pull=never", "--layers=false", "--format", "docker", *args,
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
