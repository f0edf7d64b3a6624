"""What the machine must have to build images, and what it knows about Debian's archives."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Program -> Debian package. crun: buildah asks for a runtime even where it isolates by chroot.
PROGRAMS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "crun": "crun"}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

DEFAULT_ARCHIVE = "http://deb.debian.org/debian"
DEFAULT_SECURITY = "http://deb.debian.org/debian-security"
# Where Debian moves a release that it serves no longer.
OLD_ARCHIVE = "http://archive.debian.org/debian"
OLD_SECURITY = "http://archive.debian.org/debian-security"


@dataclass(frozen=True)
class Archives:
    """Addresses of Debian's main and security archive."""

    main: str
    security: str

    def sources(self, suite: str) -> list[str]:
        """The lines of sources.list for one release."""
        return [
            f"deb {self.main} {suite} main",
            f"deb {self.main} {suite}-updates main",
            f"deb {self.security} {suite}-security main",
        ]


OLD_ARCHIVES = Archives(OLD_ARCHIVE, OLD_SECURITY)


def archives_from(targets: str) -> Archives:
    """Reads the machine's archives from `apt-get indextargets` lines `<address>|<origin>|<label>`.

    What the machine does not say (another distribution, no package lists yet) is Debian's own.
    """
    found: dict[str, str] = {}
    for line in targets.splitlines():
        address, _, rest = line.strip().partition("|")
        if rest.startswith("Debian|") and address.startswith(("http://", "https://")):
            found.setdefault(rest.removeprefix("Debian|"), address.rstrip("/"))
    return Archives(found.get("Debian", DEFAULT_ARCHIVE), found.get("Debian-Security", DEFAULT_SECURITY))


def machine_archives() -> Archives:
    """The archives in the machine's own apt configuration."""
    format_ = "$(REPO_URI)|$(ORIGIN)|$(LABEL)"
    command = ["apt-get", "indextargets", "--format", format_, "Created-By: Packages"]
    return archives_from(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


def apt_options() -> list[str]:
    """The machine's apt proxy settings, as options for another apt."""
    answer = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False).stdout
    return [
        line.rstrip(";") for line in answer.splitlines() if "proxy" in line.split(" ")[0].lower() and '""' not in line
    ]


def missing_packages() -> set[str]:
    """The Debian packages that building images needs and this machine has not."""
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    return missing if KEYRING.exists() else missing | {"debian-archive-keyring"}


def ensure_programs(run: Callable[[list[str]], None]) -> None:
    """Installs what is missing by apt-get. Raises BuildError (of `run`) or PermissionError."""
    if os.geteuid() != 0:
        raise PermissionError("images can only be built as root: mmdebstrap and buildah need chroot and mount")
    if missing := missing_packages():
        run(["apt-get", "update", "-q"])
        run(["apt-get", "install", "-qy", "--no-install-recommends", *sorted(missing)])
