"""Makes the agent bundle's runtime (everything but our packages) from an installed Debian: `assemble.py WHEELS BUNDLE`.

Runs inside the image's build, in a throw-away stage. The bundle is

    bin/python3.11, lib/<loader>, lib/*.so*   interpreter, dynamic loader, and every library they need
    lib/python3.11/                           standard library, gRPC and protobuf, as source and checked-in bytecode

Packages lie beside the standard library because the interpreter runs without `site` (it starts faster and looks nowhere
else).
"""

import compileall
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"

# Parts of the standard library that a process manager never imports; they are a third of its size.
UNUSED_MODULES = (
    "__phello__", "__phello__.foo.py", "antigravity.py", "cgi.py", "cgitb.py", "config-*", "ctypes/test", "curses",
    "dbm", "distutils", "ensurepip", "idlelib", "imaplib.py", "lib2to3", "mailbox.py", "nntplib.py", "pydoc.py",
    "pydoc_data", "sqlite3", "test", "tkinter", "turtle.py", "turtledemo", "unittest/test", "venv", "wsgiref",
    "xmlrpc", "_sysconfigdata*", "sitecustomize.py", "EXTERNALLY-MANAGED", "LICENSE.txt",
)  # fmt: skip
# Extension modules: those of the modules above, the East Asian codecs, and what pulls a large library in for little
# (hashlib has its own code for every digest that does not come from OpenSSL).
UNUSED_EXTENSIONS = (
    "_codecs_*", "_crypt*", "_ctypes_test*", "_curses*", "_dbm*", "_gdbm*", "_hashlib*", "_lsprof*", "_sqlite3*",
    "_test*", "_tkinter*", "_uuid*", "_xx*", "audioop*", "nis*", "ossaudiodev*", "readline*", "spwd*", "xxlimited*",
    "_multibytecodec*",
)  # fmt: skip
UNUSED_IN_WHEELS = ("bin", "grpc/_cython/_credentials", "**/tests", "**/*.proto", "**/*.pyi", "**/*.pyx", "**/*.pxd")


def remove(folder: Path, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        for path in list(folder.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def libraries(binary: Path) -> set[Path]:
    """The shared libraries that a binary needs, and the dynamic loader, as `ldd` resolves them.

    Raises RuntimeError where one is missing: the bundle would start here and fail in a foreign image.
    """
    # ldd answers 1 for a file without dependencies.
    answer = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
    if "not found" in answer:
        raise RuntimeError(f"{binary} needs a library that the build stage does not have:\n{answer}")
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", answer)}


def copy_python(library: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(sysconfig.get_path("stdlib"), library, symlinks=False, ignore=ignore, ignore_dangling_symlinks=True)
    remove(library, UNUSED_MODULES)
    remove(library / "lib-dynload", UNUSED_EXTENSIONS)
    # The one `_sysconfigdata` is only for building extensions; sysconfig itself stays for importlib.
    if not (library / "os.py").exists():
        raise RuntimeError(f"{library} holds no os.py, by which the interpreter finds its standard library")


def main() -> None:
    wheels, bundle = Path(sys.argv[1]), Path(sys.argv[2])
    binaries, folder = bundle / "bin", bundle / "lib"
    library = folder / VERSION
    binaries.mkdir(parents=True)
    folder.mkdir()
    copy_python(library)
    remove(wheels, UNUSED_IN_WHEELS)
    shutil.copytree(wheels, library, dirs_exist_ok=True)
    interpreter = Path(shutil.copy2(Path(sys.executable).resolve(), binaries / VERSION))

    extensions = list(library.rglob("*.so"))
    subprocess.run(["strip", "--strip-unneeded", interpreter, *extensions], check=True)
    needed = {path for binary in (interpreter, *extensions) for path in libraries(binary)}
    for path in needed:
        shutil.copy2(path.resolve(), folder / path.name)
    loader = next(path.name for path in needed if path.name.startswith("ld-"))
    (folder / "agent").symlink_to(loader)

    # Unchecked: the bundle is read-only and its files' times change with every copy.
    compiled = compileall.compile_dir(
        library, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, stripdir=bundle, workers=0
    )
    if not compiled:
        raise RuntimeError("a module of the bundle does not compile")


if __name__ == "__main__":
    main()
