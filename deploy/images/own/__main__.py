"""``python -m deploy.images.own NAME:TAG [--folder DIR | --package P ...] --output FILE``: what ``mw image build``
runs.

As root, as all builds here: Debian's base is made by mmdebstrap, and nothing is pulled.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.images import build, commands, host
from deploy.images.builder import Builder
from deploy.images.catalog import REPOSITORY
from deploy.images.own import recipes


def main() -> int:
    parser = argparse.ArgumentParser(prog="mw image build", description="Builds an engine's image.")
    parser.add_argument("reference")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--package", action="append", default=[])
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--user", type=int, default=999)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    try:
        if (given.folder is None) is not bool(given.package):
            raise ValueError("give a folder with a Containerfile, or packages: one of the two")
        with tempfile.TemporaryDirectory() as made:
            folder = given.folder or Path(made)
            if given.folder is None:
                recipes.written(given.package, given.user, folder)
            recipes.check(folder)
            image = recipes.image(given.reference, given.suite, folder.resolve())
            builder = Builder(build.cache_folder(), REPOSITORY, build.say)
            with build.locked(builder.folder):
                host.ensure_programs(builder.runner("programs"))
                archive = builder.build([image])[image.reference]
            shutil.copyfile(archive, given.output)
    except (commands.BuildError, OSError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{image.reference} is in {given.output}; plugin.yaml names it as images: {{…: {image.reference}}}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
