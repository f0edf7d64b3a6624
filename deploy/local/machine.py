"""What the machine must be and have: checked first, so that `up` refuses in a sentence instead of failing half-way."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local.commands import run, search_path
from deploy.local.configs import CNI_PLUGINS
from deploy.local.errors import LocalError
from deploy.local.progress import Progress

GIB = 1024**3
STATE_GIB = 3  # an instance with its images, for each node
BUILD_GIB = 6  # Go's modules and build cache, and what they give
# Programs, and the Debian packages that bring them.
NEEDED = {
    "runc": "runc",
    f"{CNI_PLUGINS}/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "nsenter": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "ss": "iproute2",
}


def check_user() -> None:
    """Refuse where no network namespace can be made."""
    if sys.platform != "linux":
        raise LocalError(f"The embedded cluster needs Linux, this is {platform.system()}: use CLUSTER=current")
    if os.geteuid():
        raise LocalError("The embedded cluster makes network namespaces and mounts: run `make up` as root")


def check(state: Path, nodes: int) -> None:
    """Refuse a machine on which nothing of this can work."""
    if platform.machine() not in ("x86_64", "aarch64"):
        raise LocalError(f"The embedded cluster runs on x86_64 and aarch64, this is {platform.machine()}")
    check_disk(state, STATE_GIB * nodes, "the instance: free some, or name another directory by MW_STATE")


def check_disk(directory: Path, gib: int, purpose: str) -> None:
    """Refuse to begin what a full disk would end half-way."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < gib * GIB:
        raise LocalError(f"{existing} has {free / GIB:.1f} GiB free, {gib} are needed for {purpose}")


def missing_packages() -> set[str]:
    """The Debian packages that the cluster needs and this machine has not."""
    return {package for program, package in NEEDED.items() if not shutil.which(program, path=search_path())}


def install(packages: Sequence[str], progress: Progress) -> None:
    """Install Debian packages, all of them at once. Raises LocalError where that cannot be done."""
    if not shutil.which("apt-get"):
        raise LocalError(f"Missing: {', '.join(packages)}. Only Debian's apt-get is known here: install them by hand")
    progress.update(f"installing {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-o", "DPkg::Lock::Timeout=300", "-q", "-y"]
    install_all = ["apt-get", *options, "install", "--no-install-recommends", *packages]
    if run(install_all, seconds=600, check=False, environment=environment).returncode:
        # a fresh machine has no package lists, an old one has lists of versions that are gone
        run(["apt-get", *options, "update"], seconds=300, environment=environment)
        run(install_all, seconds=600, environment=environment)
