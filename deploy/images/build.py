"""Builds the images: `python -m deploy.images.build [--output DIR] [--refresh] [name ...]`, or `build()`.

Each image becomes one archive, `<cache>/images/<name>-<tag>-<key>.tar`, for `ctr -n k8s.io images import`. The key is
over everything that goes into the image, so a new file name means new content, and an unchanged image costs nothing.
"""

import argparse
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.images import commands, host
from deploy.images.builder import Builder, Made, Report
from deploy.images.catalog import REPOSITORY, catalog, select

DEFAULT_CACHE = Path("/var/cache/middleware-platform")


def cache_folder() -> Path:
    """The shared cache, from MW_CACHE."""
    return Path(os.environ.get("MW_CACHE", DEFAULT_CACHE))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One build at a time per cache; a second one waits and then finds everything made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(made: Made) -> None:
    print(made, flush=True)


def build(
    names: Sequence[str] = (),
    cache: Path | None = None,
    *,
    report: Report = say,
    refresh: bool = False,
    repository: Path = REPOSITORY,
) -> dict[str, Path]:
    """Builds the named images (see `catalog.select`; none: all) and returns archives by image reference.

    `report` hears of each part that is done; what the programs say goes to `<cache>/images/logs`. `refresh` takes
    today's Debian packages instead of what was made before. Raises ValueError for an unknown name, PermissionError
    without root, BuildError.
    """
    cache = cache or cache_folder()
    images = select(list(names), catalog(repository))
    builder = Builder(cache, repository, report, refresh=refresh)
    with locked(builder.folder):
        host.ensure_programs(builder.runner("programs"))
        return builder.build(images)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.images.build", description="Builds the container images.")
    parser.add_argument(
        "names", nargs="*", metavar="name", help="platform, redis:7.0, redis (all tags); none: all images"
    )
    parser.add_argument("--output", type=Path, help="also put the archives into this folder, named <name>-<tag>.tar")
    parser.add_argument("--refresh", action="store_true", help="build again with today's Debian packages")
    arguments = parser.parse_args()
    try:
        archives = build(arguments.names, refresh=arguments.refresh)
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
