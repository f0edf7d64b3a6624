"""Which modules of the standard library and of the wheels the bundle holds: all that the agent's imports lead to."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from .archive import Source

# What the agent imports of others' packages. A test compares it with the agent's code.
IMPORTED = (
    "asyncio", "base64", "binascii", "collections", "collections.abc", "contextlib", "ctypes", "dataclasses", "enum",
    "fcntl", "functools", "gc", "google.protobuf", "grpc", "grpc.aio", "grpc_health.v1.health",
    "grpc_health.v1.health_pb2_grpc", "hashlib", "hmac", "inspect", "itertools", "jinja2.compiler",
    "jinja2.exceptions", "jinja2.meta", "jinja2.nodes", "jinja2.runtime", "jinja2.sandbox", "json", "logging", "math",
    "os", "pathlib", "re", "signal", "socket", "struct", "subprocess", "sys", "time", "types", "typing",
)  # fmt: skip

# What no `import` statement names: the interpreter and extension modules ask for these by themselves.
ASKED_FOR = (
    "_strptime", "encodings.ascii", "encodings.idna", "encodings.latin_1", "encodings.unicode_escape",
    "encodings.utf_8", "google._upb._message", "google.protobuf.internal.well_known_types", "grpc._cython.cygrpc",
    "pkgutil",
)  # fmt: skip

# What is named and never asked for: other systems' modules, tools for a person at a terminal, servers of other
# protocols. Also OpenSSL (5.4 MB, and 4.6 MB resident in each agent): gRPC brings its own TLS, hashlib its own digests,
# and asyncio does without.
LEFT_OUT = (
    "_hashlib", "_ssl", "ssl", "argparse", "asyncio.__main__", "bz2", "code", "decimal", "distutils", "doctest",
    "email", "fractions", "getopt", "google.protobuf.compiler", "grpc.beta", "gzip", "http", "jinja2.bccache",
    "jinja2.constants", "jinja2.ext", "jinja2.loaders", "lzma", "multiprocessing", "optparse", "pdb", "pip",
    "py_compile", "pydoc", "secrets", "shutil", "statistics", "tarfile", "tempfile", "tkinter", "unittest",
    "urllib.request", "xml", "zipfile",
)  # fmt: skip

# Imported for nothing, and so an empty module in the bundle: protobuf's messages in Python, a tenth of the time in
# which an agent starts. The bundle has them in C. Jinja2's package itself, which imports all that it has for anybody:
# loaders, a cache with pickle and tempfile; the language imports its modules.
EMPTY = ("google.protobuf.internal.python_message", "jinja2")


def reachable(available: Mapping[str, Source], roots: Iterable[str]) -> tuple[set[str], set[str]]:
    """The modules to take, and every name that one of them may import, among which are extension modules."""
    modules: set[str] = set()
    names: set[str] = set()
    waiting = list(roots)
    while waiting:
        levels = waiting.pop().split(".")
        for count in range(1, len(levels) + 1):
            name = ".".join(levels[:count])
            if name in names or _is_left_out(name):
                continue
            names.add(name)
            if name in available:
                modules.add(name)
                if name not in EMPTY:
                    waiting += (imported for imported, _ in available[name].imports(name))
    return modules, names


def _is_left_out(name: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in LEFT_OUT)


def extensions(folder: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """The extension modules below a folder, by full name."""
    found: dict[str, Path] = {}
    for path in folder.rglob("*.so"):
        suffix = next((each for each in suffixes if path.name.endswith(each)), None)
        if suffix is not None:
            found[".".join([*path.relative_to(folder).parts[:-1], path.name.removesuffix(suffix)])] = path
    return found
