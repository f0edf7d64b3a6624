"""Records the histories that are replayed from a release on: ``python -m tests.replay.record``.

Runs ``tests/workflows``, and of all that the workflows did there stores the few histories that together take every turn
(``tests.replay.selection``), under the version in ``pyproject.toml``. Options go to pytest (``-n 4``). See
docs/versioning.md for when.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.images.catalog import platform_version
from tests.replay.selection import chosen
from tests.replay.stored import FOLDER, RECORD_TO, SUFFIX, read


def main() -> None:
    target = FOLDER / platform_version()
    with tempfile.TemporaryDirectory() as folder:
        tests = [sys.executable, "-m", "pytest", "tests/workflows", "-q", *sys.argv[1:]]
        if subprocess.run(tests, env={**os.environ, RECORD_TO: folder}, check=False).returncode != 0:
            raise SystemExit("nothing was recorded: the tests of the workflows fail")
        histories = {path.name.removesuffix(SUFFIX): read(path) for path in Path(folder).iterdir()}
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        names = chosen(histories)
        for name in names:
            shutil.copy(Path(folder, name + SUFFIX), target)
    print(f"{len(names)} of {len(histories)} histories in {target}")


if __name__ == "__main__":
    main()
