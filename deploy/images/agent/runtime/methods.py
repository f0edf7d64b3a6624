"""Finds what `dataclasses` compiles while our modules are imported: `methods.py LIBRARY OURS`, of two archives.

It writes the methods of a class as text and compiles them at each import: a fifth of the processor time in which an
agent starts. So they are compiled once, in the image's build. All modules of OURS are imported for it from the archives
and from nowhere else, which also shows that these hold all that is imported.

A program of its own, for `python3 -I -S -B`; it prints the code by its text, marshalled.
"""

import marshal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType


def main() -> None:
    sys.path[:] = [__file__.rpartition("/")[0]]
    from start import Archive  # type: ignore[import-not-found]

    sys.path.clear()
    archives = [Archive(path) for path in sys.argv[1:]]
    sys.meta_path[2:] = archives
    import dataclasses

    found: dict[str, CodeType] = {}

    def compile_and_run(text: str, names: dict[str, object], made: dict[str, object]) -> None:
        found[text] = compile(text, "<string>", "exec", dont_inherit=True)
        exec(found[text], names, made)  # noqa: S102 - as dataclasses does it

    dataclasses.exec = compile_and_run  # type: ignore[attr-defined]
    for name in archives[-1].names():
        __import__(name)
    sys.stdout.buffer.write(marshal.dumps(found))


if __name__ == "__main__":
    main()
