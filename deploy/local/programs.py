"""Find every program that an instance runs: on the machine, in the cache, as an official release, or built from source.

Each is linked into the instance's `bin` directory under its name, so that the rest need not know where it came from.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local import gobuild, versions
from deploy.local.paths import SOURCES, cache_root
from deploy.local.progress import Progress
from deploy.local.releases import Releases


@dataclass(frozen=True)
class Program:
    """A program and where it can come from.

    `ask` are the arguments that make it print its version; none where it is ours alone. `folder` is its source in
    `binaries/`; none where another module's package is built as it is.
    """

    name: str
    version: str
    package: str
    folder: str | None = None
    ask: tuple[str, ...] = ()


def _kubernetes(name: str, *ask: str) -> Program:
    return Program(name, versions.KUBERNETES, "./cluster", folder="cluster", ask=ask or ("--version",))


PROGRAMS = (
    Program("etcd", versions.ETCD, "./cluster", folder="cluster", ask=("--version",)),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubelet"),
    _kubernetes("kube-proxy"),
    _kubernetes("kubectl", "version", "--client"),
    Program("containerd", versions.CONTAINERD, "./containerd", folder="containerd", ask=("--version",)),
    Program("ctr", versions.CONTAINERD, "./containerd", folder="containerd", ask=("--version",)),
    Program(
        "containerd-shim-runc-v2",
        versions.CONTAINERD,
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        ask=("-v",),
    ),
    Program("coredns", versions.COREDNS, "./coredns", folder="coredns", ask=("-version",)),
    Program("volumes", versions.KUBERNETES, "./volumes", folder="volumes"),
    Program("pause", versions.KUBERNETES, "./pause", folder="pause"),
    Program("helm", versions.HELM, "helm.sh/helm/v3/cmd/helm", ask=("version", "--short")),
    Program("temporal", versions.TEMPORAL, "github.com/temporalio/cli/cmd/temporal", ask=("--version",)),
)


def source_digest(program: Program, module: Path = SOURCES) -> str:
    """A digest of all that decides what a build gives: the pinned modules, our own source, the flags."""
    digest = hashlib.sha256(" ".join(gobuild.flags()).encode())
    files = [module / "go.mod", module / "go.sum", *sorted((module / "absent").rglob("*.go"))]
    if program.folder:
        files += sorted((module / program.folder).glob("*.go"))
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@dataclass
class Finder:
    """The search, in its order. `installed` looks on the machine and is replaced in tests."""

    cache: Path
    progress: Progress
    releases: Releases
    installed: Callable[[Program], Path | None]
    made: str = "cached"  # or `built`, once something had to be

    @classmethod
    def default(cls, cache: Path, progress: Progress) -> Finder:
        return cls(cache, progress, Releases(), on_machine)

    def find_all(self) -> dict[str, Path]:
        """The path of each program. Raises LocalError where one can be had in no way."""
        found: dict[str, Path] = {}
        with self._lock():
            for program in PROGRAMS:
                path = self.installed(program) or self._cached(program) or self._released(program)
                if path:
                    found[program.name] = path
            missing = [program for program in PROGRAMS if program.name not in found]
            if missing:
                found.update(self._build(missing))
                self.made = "built"
        return found

    def _built(self, program: Program) -> Path:
        """Where a build goes: programs of one package are one file."""
        name = program.package.rpartition("/")[2]
        return self.cache / "bin" / f"{name}-{source_digest(program)}" / name

    def _official(self, program: Program) -> Path:
        return self.cache / "bin" / f"{program.name}-{program.version}-official" / program.name

    def _cached(self, program: Program) -> Path | None:
        return next((path for path in (self._official(program), self._built(program)) if path.exists()), None)

    def _released(self, program: Program) -> Path | None:
        path = self._official(program)
        self.progress.update(f"looking for {program.name}")
        return path if self.releases.fetch(program.name, program.version, path) else None

    def _build(self, missing: list[Program]) -> dict[str, Path]:
        packages = {program.package.rpartition("/")[2]: program.package for program in missing}
        scratch = self.cache / "bin" / "new"
        gobuild.build(packages, scratch, self.progress)
        found = {}
        for program in missing:
            path = self._built(program)
            fresh = scratch / path.name
            if fresh.exists():  # the first program of a package moves the file, the others find it there
                path.parent.mkdir(parents=True, exist_ok=True)
                fresh.replace(path)
            found[program.name] = path
        shutil.rmtree(scratch)
        return found

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One build at a time: two instances brought up at once share it."""
        directory = self.cache / "bin"
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def on_machine(program: Program) -> Path | None:
    """The program on PATH, where it says that it is of the pinned version."""
    path = shutil.which(program.name) if program.ask else None
    # An instance's own `bin` may be on PATH (`env` puts it there): its links lead into the cache.
    if path is None or Path(path).resolve().is_relative_to(cache_root()):
        return None
    try:
        done = subprocess.run([path, *program.ask], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = (done.stdout + done.stderr).replace("\n", " ").split()
    wanted = {program.version, program.version.removeprefix("v")}
    return (
        Path(path) if wanted & {word.partition("+")[0].strip(",()").removeprefix("CoreDNS-") for word in said} else None
    )


def link_all(programs: dict[str, Path], directory: Path) -> None:
    """Link each program into the directory under its own name: the multi-call program chooses by it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, path in programs.items():
        link = directory / name
        if not (link.is_symlink() and link.readlink() == path):
            temporary = directory / f".{name}.new"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(path)
            temporary.replace(link)
