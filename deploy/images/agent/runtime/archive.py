"""Archives of Python modules: one file in place of hundreds, whose modules are found without asking the file system.

An archive is eight bytes with the length of its index, the index, and the code of each module; `start.py` reads it.
Index and code are marshalled, so only the Python that wrote an archive reads it: both come in one bundle.
"""

import ast
import marshal
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType

# What a traceback says of a module of the bundle; no such folder exists, since there is no source in the bundle.
SHOWN = "/agent/modules"


@dataclass(frozen=True)
class Source:
    """A module before it is compiled."""

    path: Path
    is_package: bool

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_bytes(), self.path)

    def imports(self, name: str) -> Iterator[tuple[str, bool]]:
        """Full names of what the module imports, at once or in a function, each with whether it must be a module:
        `from a import b` gives `a` and `a.b`, which may be a name inside module a."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, True) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(name, node)
                yield origin, True
                yield from ((f"{origin}.{alias.name}", False) for alias in node.names)

    def _origin(self, name: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        levels = name.split(".")
        package = levels[: len(levels) - node.level + self.is_package]
        return ".".join([*package, *([node.module] if node.module else [])])


def sources(folder: Path) -> dict[str, Source]:
    """The modules below a folder, by full name. A folder that holds only folders is no package here."""
    found: dict[str, Source] = {}
    for path in sorted(folder.rglob("*.py")):
        names = list(path.relative_to(folder).with_suffix("").parts)
        is_package = names[-1] == "__init__"
        if is_package:
            names.pop()
        if names:
            found[".".join(names)] = Source(path, is_package)
    return found


def code(name: str, source: Source) -> CodeType:
    """Without the texts that only a reader of the source wants. Classes keep theirs: dataclasses ask for it, and make
    one where there is none, which takes longer than all else they do."""
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body[:1] = [] if len(node.body) > 1 else [ast.copy_location(ast.Pass(), node.body[0])]
    shown = f"{SHOWN}/{name.replace('.', '/')}{'/__init__' if source.is_package else ''}.py"
    return compile(source.tree, shown, "exec", dont_inherit=True)


@dataclass
class Content:
    """`packages` are those of the modules that have modules below them. `extensions`: the file by the module's name, as
    it lies below the archive's folder. `methods`: code by its text, see methods.py."""

    modules: dict[str, CodeType] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)
    extensions: dict[str, str] = field(default_factory=dict)
    methods: dict[str, CodeType] = field(default_factory=dict)


def write(archive: Path, content: Content) -> None:
    places: dict[str, tuple[bool, int, int]] = {}
    code = bytearray()
    for name, each in sorted(content.modules.items()):
        data = marshal.dumps(each)
        places[name] = (name in content.packages, len(code), len(data))
        code += data
    index = marshal.dumps((places, content.extensions, content.methods))
    archive.write_bytes(len(index).to_bytes(8, "little") + index + code)


def names(archive: Path) -> set[str]:
    """All modules that an archive finds."""
    with archive.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        places, extensions, _ = marshal.loads(file.read(size))  # noqa: S302 - our own
    return {*places, *extensions}
