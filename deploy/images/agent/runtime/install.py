"""Copies the agent bundle into a folder: `<bundle>/bin/install DESTINATION`, run by the Pods' init container.

The destination is a volume that outlives the init container, so it may hold an older bundle or half of one: a Pod's
sandbox can be made anew, and the node can lose power. The file `bundle.digest` is removed first and written last;
a destination that has the same one is left alone.
"""

import os
import shutil
import sys
from pathlib import Path

DIGEST = "bundle.digest"
FOLDERS = ("lib", "bin")  # bin last: what a container starts appears when all it needs is there


def copy_file(source: str, target: str) -> str:
    """Copies content and permission bits; the kernel copies, and shares blocks where the file system can."""
    with open(source, "rb") as reader, open(target, "wb") as writer:
        remaining = os.fstat(reader.fileno()).st_size
        while remaining > 0:
            copied = os.sendfile(writer.fileno(), reader.fileno(), None, remaining)
            if copied == 0:
                raise OSError(f"{source} became shorter while it was copied")
            remaining -= copied
        os.fchmod(writer.fileno(), os.fstat(reader.fileno()).st_mode & 0o777)
    return target


def install(bundle: Path, destination: Path) -> bool:
    """Makes the destination hold the bundle; False where it already did. Raises OSError (no space, no permission)."""
    digest = (bundle / DIGEST).read_text()
    stamp = destination / DIGEST
    if stamp.exists() and stamp.read_text() == digest:
        return False
    destination.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    incoming, outgoing = destination / ".incoming", destination / ".outgoing"
    for folder in FOLDERS:
        shutil.rmtree(incoming, ignore_errors=True)
        shutil.rmtree(outgoing, ignore_errors=True)
        shutil.copytree(bundle / folder, incoming, symlinks=True, copy_function=copy_file)
        if (destination / folder).exists():
            (destination / folder).rename(outgoing)
        incoming.rename(destination / folder)
    shutil.rmtree(outgoing, ignore_errors=True)
    stamp.write_text(digest)
    return True


def main() -> int:
    if len(sys.argv) != 2:
        print(
            "usage: install DESTINATION (the folder that shall hold the agent, e.g. a mounted volume)", file=sys.stderr
        )
        return 2
    bundle = Path(__file__).resolve().parent.parent
    destination = Path(sys.argv[1])
    try:
        changed = install(bundle, destination)
    except OSError as error:
        print(f"install: cannot copy the agent from {bundle} to {destination}: {error}", file=sys.stderr)
        return 1
    print(f"install: {destination} holds the agent{'' if changed else ' already'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
