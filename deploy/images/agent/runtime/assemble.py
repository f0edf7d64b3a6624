"""Makes the agent bundle's runtime (everything but our packages): `python3 -m runtime.assemble WHEELS BUNDLE`.

Runs inside the image's build, in a throw-away stage, with the Python that goes into the bundle. The bundle is copied to
disk for each Pod, so it is few files and few megabytes:

    bin/python3.11, lib/<loader>, lib/*.so*   interpreter, dynamic loader, and every library they need
    lib/library.modules                       the standard library and the wheels, as code (archive.py, contents.py)
    lib/extensions/*.so                       their extension modules, each named by its full name
    lib/python3.11/encodings/*.pyc            what the interpreter wants before it runs anything of ours
"""

import importlib.machinery
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from . import archive, contents

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
FIRST_MODULES = ("encodings/__init__.py", "encodings/aliases.py", "encodings/utf_8.py")
# The interpreter takes a folder with this module for its library's. It never reads it: it has the module in itself.
LANDMARK = "os.py"


def libraries(binary: Path) -> set[Path]:
    """The shared libraries that a binary needs, and the dynamic loader, as `ldd` resolves them.

    Raises RuntimeError where one is missing: the bundle would start here and fail in a foreign image.
    """
    # ldd answers 1 for a file without dependencies.
    answer = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
    if "not found" in answer:
        raise RuntimeError(f"{binary} needs a library that the build stage does not have:\n{answer}")
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", answer)}


def compile_file(source: Path, target: Path) -> None:
    """Unchecked: the bundle is read-only and its files' times change with every copy."""
    py_compile.compile(
        str(source),
        str(target),
        f"{archive.SHOWN}/{source.name}",
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def write_library(standard: Path, wheels: Path, folder: Path) -> list[Path]:
    """The archive of all that can be reached, and the extension modules that it finds; returns the latter."""
    available = archive.sources(standard) | archive.sources(wheels)
    suffixes = importlib.machinery.EXTENSION_SUFFIXES
    native = contents.extensions(standard / "lib-dynload", suffixes) | contents.extensions(wheels, suffixes)
    modules, names = contents.reachable(available, [*contents.IMPORTED, *contents.ASKED_FOR])
    modules = {name for name in modules if importlib.machinery.FrozenImporter.find_spec(name) is None}
    (folder / "extensions").mkdir()
    copied = {
        name: Path(shutil.copy2(path, folder / "extensions" / f"{name}.so"))
        for name, path in native.items()
        if name in names
    }
    nothing = compile("", archive.SHOWN, "exec")
    content = archive.Content(
        modules={n: nothing if n in contents.EMPTY else archive.code(n, available[n]) for n in sorted(modules)},
        packages={name for name in modules if available[name].is_package},
        extensions={name: str(path.relative_to(folder)) for name, path in copied.items()},
    )
    # A wheel may leave out what makes a folder a package, as Google's do.
    for name in [*content.modules, *copied]:
        while (name := name.rpartition(".")[0]) and name not in content.modules:
            content.modules[name] = nothing
            content.packages.add(name)
    archive.write(folder / "library.modules", content)
    return list(copied.values())


def main() -> None:
    wheels, bundle = Path(sys.argv[1]), Path(sys.argv[2])
    binaries, folder, standard = bundle / "bin", bundle / "lib", Path(sysconfig.get_path("stdlib"))
    binaries.mkdir(parents=True)
    folder.mkdir()
    extensions = write_library(standard, wheels, folder)
    # Empty: Python looks for the folder when it starts, and complains where there is none.
    (folder / VERSION / "lib-dynload").mkdir(parents=True)
    for name in (*FIRST_MODULES, LANDMARK):
        target = (folder / VERSION / name).with_suffix(".pyc")
        target.parent.mkdir(parents=True, exist_ok=True)
        compile_file(standard / name, target)

    interpreter = Path(shutil.copy2(Path(sys.executable).resolve(), binaries / VERSION))
    needed = {path for binary in (interpreter, *extensions) for path in libraries(binary)}
    copies = [Path(shutil.copy2(path.resolve(), folder / path.name)) for path in needed]
    subprocess.run(["strip", "--strip-unneeded", interpreter, *extensions, *copies], check=True)
    loader = next(path.name for path in needed if path.name.startswith("ld-"))
    (folder / "agent").symlink_to(loader)

    here = Path(__file__).parent
    for name in ("start.py", "install.py"):
        compile_file(here / name, (folder / name).with_suffix(".pyc"))


if __name__ == "__main__":
    main()
