"""First code of the agent's process: finds the modules of the bundle, gives the environment back, runs the agent.

Modules come from two archives (see archive.py), the library's and ours, and from nowhere else: what the image around
the bundle holds of Python is never looked at.

The launcher hides the variables by which the image's author steers the image's own C library (LD_PRELOAD and the like)
from our loader, and sets one for our allocator. The engine that the agent starts must see exactly what the image set.
"""

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader

TYPE_CHECKING = False  # typing itself is in an archive, like all but a few modules that the interpreter holds
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import CodeType, ModuleType

ARCHIVES = ("library.modules", "agent.modules")
KEEP = "MIDDLEWARE_AGENT_KEEP_"


class Archive:
    """Finds and loads the modules of one archive. Raises OSError where there is none."""

    def __init__(self, path: str) -> None:
        self._folder = os.path.dirname(path)
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        size = int.from_bytes(os.read(self._file, 8), "little")
        self._places, self._extensions, self.methods = marshal.loads(os.read(self._file, size))  # noqa: S302 - our own
        self._code = 8 + size

    def names(self) -> list[str]:
        return list(self._places)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        place = self._places.get(name)
        if place is not None:
            return ModuleSpec(name, self, origin=self._folder, loader_state=place, is_package=place[0])  # type: ignore[arg-type]
        extension = self._extensions.get(name)
        if extension is None:
            return None
        file = f"{self._folder}/{extension}"
        return ModuleSpec(name, ExtensionFileLoader(name, file), origin=file)

    def create_module(self, spec: ModuleSpec) -> "ModuleType | None":
        return None

    def exec_module(self, module: "ModuleType") -> None:
        _, begin, size = module.__spec__.loader_state  # type: ignore[union-attr]
        code = marshal.loads(os.pread(self._file, size, self._code + begin))  # noqa: S302 - our own
        exec(code, module.__dict__)  # noqa: S102 - this is what loading a module is


def give_back(environment: "MutableMapping[str, str]") -> None:
    environment.pop("MALLOC_ARENA_MAX", None)
    for name in [name for name in environment if name.startswith(KEEP)]:
        environment[name.removeprefix(KEEP)] = environment.pop(name)


def without_compiling(methods: "dict[str, CodeType]") -> None:
    """`dataclasses` gets the methods that it would write as text and compile; see methods.py."""
    import dataclasses

    def run(text: str, names: "dict[str, object]", made: "dict[str, object]") -> None:
        exec(methods.get(text, text), names, made)  # noqa: S102 - as dataclasses does it

    dataclasses.exec = run  # type: ignore[attr-defined]


def main() -> int:
    folder = os.path.dirname(os.path.abspath(sys.argv[0]))
    library, ours = (Archive(f"{folder}/{name}") for name in ARCHIVES)
    # Beside built-in and frozen modules nothing else: the paths that Python has by default may lie in the image.
    sys.meta_path[2:] = [library, ours]
    sys.path.clear()
    give_back(os.environ)
    without_compiling(ours.methods)
    from agent.__main__ import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
