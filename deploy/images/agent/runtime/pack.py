"""Adds our packages to the bundle: `python3 -m runtime.pack SOURCES LIBRARY ARCHIVE`.

It runs at each change of our code, and is all that has to run. LIBRARY is the archive of what is not ours.
"""

import marshal
import subprocess
import sys
from collections.abc import Mapping
from importlib.machinery import FrozenImporter
from pathlib import Path
from types import CodeType

from . import archive


def missing(sources: Mapping[str, archive.Source], library: Path) -> list[str]:
    """What our modules import that neither they nor the library nor the interpreter have, with who imports it."""
    known = {*sources, *archive.names(library), *sys.builtin_module_names}
    return [
        f"{name} imports {imported}"
        for name, source in sources.items()
        for imported, is_module in source.imports(name)
        if is_module and imported not in known and FrozenImporter.find_spec(imported) is None
    ]


def methods(library: Path, ours: Path) -> dict[str, CodeType]:
    """See methods.py. Raises CalledProcessError where a module of ours cannot be imported."""
    program = Path(__file__).with_name("methods.py")
    command = [sys.executable, "-I", "-S", "-B", *map(str, (program, library, ours))]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, CodeType] = marshal.loads(answer)  # noqa: S302 - our own
    return found


def write(sources: Mapping[str, archive.Source], library: Path, target: Path) -> None:
    """Raises ValueError where the library lacks what our modules import."""
    lacking = missing(sources, library)
    if lacking:
        raise ValueError(f"the bundle does not hold all that the agent imports; see contents.py: {'; '.join(lacking)}")
    content = archive.Content(
        modules={name: archive.code(name, each) for name, each in sources.items()},
        packages={name for name, source in sources.items() if source.is_package},
    )
    archive.write(target, content)
    content.methods = methods(library, target)
    archive.write(target, content)


if __name__ == "__main__":
    write(archive.sources(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))
