"""Debian root file systems, made by mmdebstrap straight from the packages, as base images.

A base is made once per release and kept: its identity is the digest of what came out, so images above it are built
again when a base is refreshed, and only then.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from deploy.images.commands import BuildError
from deploy.images.host import KEYRING, OLD_ARCHIVES, Archives, apt_options
from deploy.images.keys import key

# As in Debian's own slim images; the copyright files stay, the licences ask for them. Nothing is flushed to the disk
# file by file: an image that a power cut leaves half-written is built again.
DPKG_OPTIONS = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
)
# The machine's proxy is for building, not for the image. Hooks of apt that clean up keep every later layer small.
HOOKS = (
    'rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/hostname "$1"/etc/resolv.conf',
    'rm -rf "$1"/var/log/apt "$1"/var/log/*.log "$1"/var/cache/debconf/*-old',
    'printf \'APT::Install-Recommends "false";\\nAcquire::Retries "3";\\nAcquire::Languages "none";\\n\''
    ' > "$1"/etc/apt/apt.conf.d/50-middleware',
)
# Debian 12 demands a merged /usr: where it is not made so from the start, the package that converts it comes, and with
# it all of Perl (50 MB). Debian 11 does not ask, Debian 13 is always merged.
MERGED_USR = {"bookworm": ("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged")}


def reference(suite: str) -> str:
    """The name of a base in our own storage; no registry knows it."""
    return f"localhost/middleware-base:{suite}"


def package_lists(suite: str, storage: Path) -> Path | None:
    """What `apt-get update` fetched when the base was made: the builds above it need not fetch and read it again."""
    folder = storage / "bases" / f"{suite}-lists" / "lists"
    return folder if folder.is_dir() else None


def command(suite: str, target: Path, archives: Archives, options: list[str]) -> list[str]:
    """The mmdebstrap call that makes one root file system as a tar file, and leaves its package lists beside it."""
    lists = target.parent / f"{suite}-lists"
    extra = ["--include=ca-certificates"] if "https://" in archives.main + archives.security else []
    return [
        "mmdebstrap", "--variant=minbase", "--mode=root", f"--keyring={KEYRING}", *extra,
        *MERGED_USR.get(suite, ()),
        *(f"--dpkgopt={option}" for option in DPKG_OPTIONS),
        *(f"--aptopt={option}" for option in options),
        *(f"--customize-hook={hook}" for hook in HOOKS),
        f"--customize-hook=copy-out /var/lib/apt/lists {lists}",
        suite, str(target), *archives.sources(suite),
    ]  # fmt: skip


def _tar(suite: str, storage: Path) -> Path:
    return storage / "bases" / f"{suite}-{key((*DPKG_OPTIONS, *HOOKS, *MERGED_USR.get(suite, ())))}.tar"


def known_digest(suite: str, storage: Path) -> str | None:
    """The SHA-256 of the release's root file system as last made; None where it was not made yet."""
    recorded = _tar(suite, storage).with_suffix(".sha256")
    return recorded.read_text() if recorded.exists() else None


def record(suite: str, storage: Path, digest: str) -> None:
    """Says that the base is made and loaded; written last, so that an interrupted build starts over."""
    _tar(suite, storage).with_suffix(".sha256").write_text(digest)


def make(suite: str, storage: Path, archives: Archives, run: Callable[[list[str]], None]) -> tuple[Path, str]:
    """Makes the root file system of a release as a tar file; returns it and its SHA-256.

    Where the machine's archive serves the release no longer, Debian's archive of old releases does.
    Raises BuildError where neither does.
    """
    tar = _tar(suite, storage)
    tar.parent.mkdir(parents=True, exist_ok=True)
    partial = tar.with_suffix(".partial.tar")
    try:
        _run(suite, partial, archives, apt_options(), run)
    except BuildError as first:
        # Signatures of an archived release are past their date by design.
        expired = ['Acquire::Check-Valid-Until "false"', *apt_options()]
        try:
            _run(suite, partial, OLD_ARCHIVES, expired, run)
        except BuildError:
            raise first from None
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return partial.rename(tar), digest


def _run(suite: str, target: Path, archives: Archives, options: list[str], run: Callable[[list[str]], None]) -> None:
    target.unlink(missing_ok=True)
    lists = target.parent / f"{suite}-lists"
    shutil.rmtree(lists, ignore_errors=True)
    lists.mkdir()
    run(command(suite, target, archives, options))


def context(tar: Path, folder: Path) -> Path:
    """A build context that makes an image of nothing but the root file system."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "rootfs.tar").hardlink_to(tar)
    (folder / "Containerfile").write_text('FROM scratch\nADD rootfs.tar /\nCMD ["/bin/sh"]\n')
    return folder
