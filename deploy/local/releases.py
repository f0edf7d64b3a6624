"""Official releases: fetched only where their SHA-256 is pinned in `releases.json`, and refused where it differs.

`releases.json` maps `"<program> <version> <architecture>"` to the SHA-256 of the file that is downloaded (the archive,
where it is one). A program without a pin is not fetched: it is built from source, whose checksums `go.sum` pins.
To add a pin, download the file from the address that `url()` gives, compare it with the signature or checksum file
that the project publishes beside it, and write the checksum down.

`MW_RELEASES` names a mirror of the same layout, or `off`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import tarfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from deploy.local.errors import LocalError

PINS = Path(__file__).parent / "releases.json"
PROBE_SECONDS = 2.0  # all that an unreachable network costs, once per run
STALL_SECONDS = 15.0  # a download that gives nothing for so long is given up
_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")


@dataclass(frozen=True)
class Layout:
    """Where a project publishes a program: `{v}` is the version without its `v`. `member` is the path in an archive."""

    base: str
    path: str
    member: str | None = None


LAYOUTS = {
    **{name: Layout("https://dl.k8s.io", "{version}/bin/linux/{arch}/{program}") for name in _KUBERNETES},
    "etcd": Layout(
        "https://github.com/etcd-io/etcd/releases/download",
        "{version}/etcd-{version}-linux-{arch}.tar.gz",
        "etcd-{version}-linux-{arch}/etcd",
    ),
    "helm": Layout("https://get.helm.sh", "helm-{version}-linux-{arch}.tar.gz", "linux-{arch}/helm"),
    "coredns": Layout(
        "https://github.com/coredns/coredns/releases/download", "{version}/coredns_{v}_linux_{arch}.tgz", "coredns"
    ),
    "temporal": Layout(
        "https://github.com/temporalio/cli/releases/download",
        "{version}/temporal_cli_{v}_linux_{arch}.tar.gz",
        "temporal",
    ),
}


def architecture() -> str:
    """The machine's architecture as Go names it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def load_pins(path: Path = PINS) -> dict[str, str]:
    pins: dict[str, str] = json.loads(path.read_text())
    for key, value in pins.items():
        if len(key.split()) != 3 or len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise LocalError(
                f"{path}: the pin {key!r} must be '<program> <version> <architecture>' with a SHA-256 in lower case"
            )
    return pins


@dataclass
class Releases:
    """One run's attempts: after the first that finds no network, no other is made."""

    pins: dict[str, str] = field(default_factory=load_pins)
    mirror: str | None = field(default_factory=lambda: os.environ.get("MW_RELEASES"))
    _unreachable: bool = False

    def url(self, program: str, version: str) -> str:
        """Where the program is published. KeyError where nobody publishes it."""
        layout = LAYOUTS[program]
        base = (self.mirror or layout.base).rstrip("/")
        return f"{base}/{_fill(layout.path, program, version)}"

    def fetch(self, program: str, version: str, destination: Path) -> bool:
        """Put the program at `destination`; False where it has no pin or the network is not there.

        Raises LocalError where what was published is not what is pinned: someone changed it, or stands in between.
        """
        expected = self.pins.get(f"{program} {version} {architecture()}")
        if expected is None or program not in LAYOUTS or self.mirror == "off" or self._unreachable:
            return False
        url = self.url(program, version)
        if not _connects(url):
            self._unreachable = True
            return False
        destination.parent.mkdir(parents=True, exist_ok=True)
        download = destination.with_name(destination.name + ".download")
        try:
            if not self._download(url, download):
                return False
            _check(download, expected, url)
            member = LAYOUTS[program].member
            if member:
                _extract(download, _fill(member, program, version), destination)
            else:
                download.replace(destination)
            destination.chmod(0o755)
        finally:
            download.unlink(missing_ok=True)
        return True

    def _download(self, url: str, path: Path) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=STALL_SECONDS) as response, path.open("wb") as file:  # noqa: S310
                while block := response.read(1 << 20):
                    file.write(block)
        except (urllib.error.URLError, OSError):
            self._unreachable = True
            return False
        return True


def _fill(template: str, program: str, version: str) -> str:
    return template.format(program=program, version=version, v=version.removeprefix("v"), arch=architecture())


def _connects(url: str) -> bool:
    """Whether a connection can be made within PROBE_SECONDS. In a thread, because the resolver knows no deadline."""
    target = urllib.parse.urlsplit(urllib.request.getproxies().get(urllib.parse.urlsplit(url).scheme, url))
    found = threading.Event()

    def attempt() -> None:
        port = target.port or (443 if target.scheme == "https" else 80)
        try:
            socket.create_connection((target.hostname or "", port), timeout=PROBE_SECONDS).close()
        except OSError:
            return
        found.set()

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return found.is_set()


def _check(path: Path, expected: str, url: str) -> None:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise LocalError(
            f"{url} is not what is pinned: its SHA-256 is {actual}, {PINS.name} says {expected}. Nothing of it was "
            "used. Find out why before you change the pin; MW_RELEASES=off builds from source instead"
        )


def _extract(archive: Path, member: str, destination: Path) -> None:
    with tarfile.open(archive) as tar:
        names = {name.removeprefix("./"): name for name in tar.getnames()}
        source: IO[bytes] | None = tar.extractfile(names[member]) if member in names else None
        if source is None:
            raise LocalError(f"The archive for {destination.name} holds no {member}")
        temporary = destination.with_name(destination.name + ".new")
        with temporary.open("wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
        temporary.replace(destination)
