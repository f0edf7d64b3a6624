"""Copies the agent bundle into a folder: `<bundle>/bin/install DESTINATION`, run by the Pods' init container.

The destination is a volume that outlives the init container, so it may hold an older bundle or half of one: a Pod's
sandbox can be made anew, and the node can lose power. The file `bundle.digest` is removed first and written last;
a destination that has the same one is left alone.

It imports only what the interpreter holds in itself: each Pod waits for it.
"""

import os
import sys

DIGEST = "bundle.digest"
FOLDERS = ("lib", "bin")  # bin last: what a container starts appears when all it needs is there
INCOMING, OUTGOING = ".incoming", ".outgoing"


def copy_file(source: str, target: str) -> None:
    """Copies content and permission bits; the kernel copies, and shares blocks where the file system can."""
    reader = os.open(source, os.O_RDONLY)
    writer = -1
    try:
        status = os.fstat(reader)
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        remaining = status.st_size
        while remaining > 0:
            copied = os.sendfile(writer, reader, None, remaining)
            if copied == 0:
                raise OSError(f"{source} became shorter while it was copied")
            remaining -= copied
        os.fchmod(writer, status.st_mode & 0o777)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def copy_folder(source: str, target: str) -> None:
    os.mkdir(target)
    with os.scandir(source) as entries:
        for entry in entries:
            copy = f"{target}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), copy)
            elif entry.is_dir():
                copy_folder(entry.path, copy)
            else:
                copy_file(entry.path, copy)


def remove_folder(folder: str) -> None:
    """Nothing happens where there is none."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            remove_folder(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(folder)


def read(path: str) -> bytes | None:
    """None where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def install(bundle: str, destination: str) -> bool:
    """Makes the destination hold the bundle; False where it already did. Raises OSError (no space, no permission)."""
    stamp = f"{destination}/{DIGEST}"
    digest = read(f"{bundle}/{DIGEST}")
    if digest is None:
        raise FileNotFoundError(f"{bundle} has no {DIGEST}")
    if read(stamp) == digest:
        return False
    os.makedirs(destination, exist_ok=True)
    if os.path.lexists(stamp):
        os.unlink(stamp)
    incoming, outgoing = f"{destination}/{INCOMING}", f"{destination}/{OUTGOING}"
    for folder in FOLDERS:
        remove_folder(incoming)
        remove_folder(outgoing)
        copy_folder(f"{bundle}/{folder}", incoming)
        if os.path.lexists(f"{destination}/{folder}"):
            os.rename(f"{destination}/{folder}", outgoing)
        os.rename(incoming, f"{destination}/{folder}")
    remove_folder(outgoing)
    copy_file(f"{bundle}/{DIGEST}", stamp)
    return True


def main() -> int:
    if len(sys.argv) != 2:
        print(
            "usage: install DESTINATION (the folder that shall hold the agent, e.g. a mounted volume)", file=sys.stderr
        )
        return 2
    bundle, destination = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0]))), sys.argv[1]
    try:
        changed = install(bundle, destination)
    except OSError as error:
        print(f"install: cannot copy the agent from {bundle} to {destination}: {error}", file=sys.stderr)
        return 1
    print(f"install: {destination} holds the agent{'' if changed else ' already'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
