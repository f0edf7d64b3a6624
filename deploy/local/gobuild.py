"""Build programs from the pinned Go modules in `binaries/` with the machine's Go."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local import machine, versions
from deploy.local.commands import run
from deploy.local.errors import LocalError
from deploy.local.paths import SOURCES
from deploy.local.progress import Progress

_GO_PLACES = ("/usr/local/go/bin", "/usr/lib/go/bin", "/root/go/bin")
# No version control: in a checkout that belongs to another user (`sudo make up`) git refuses, and the build with it.
_MODULE_FLAGS = ("-mod=readonly", "-buildvcs=false")
_MOST_MIB, _LEAST_MIB = 2048, 256  # what a compiler may take before it collects garbage
_CONTAINERD = "github.com/containerd/containerd/v2/version.Version"
_HELM = "helm.sh/helm/v3/internal/version.version"
_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def flags() -> list[str]:
    """How the programs are compiled and linked.

    The linker would leave the debug tables out, but the compiler make them first: both are told.
    """
    return ["-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags={_linker_flags()}"]


def _linker_flags() -> str:
    """No debug tables, and the versions that the programs otherwise do not know of themselves."""
    major, minor, _ = versions.KUBERNETES.removeprefix("v").split(".")
    words = ["-s", "-w", f"-X {_CONTAINERD}={versions.CONTAINERD}", f"-X {_HELM}={versions.HELM}"]
    for package in _VERSION_PACKAGES:
        words += [f"-X {package}.gitVersion={versions.KUBERNETES}", f"-X {package}.gitTreeState=clean"]
        words += [f"-X {package}.gitMajor={major}", f"-X {package}.gitMinor={minor}"]
    return " ".join(words)


def _compiler_memory() -> dict[str, str]:
    """The compiler spends a fifth of its time on collecting garbage, for memory that a machine for a cluster has. There
    are as many compilers as processors; together they get half of what is free before they collect any."""
    free = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    share = int(free[1]) // 1024 // 2 // (os.cpu_count() or 1) if free else _LEAST_MIB
    limit = max(_LEAST_MIB, min(_MOST_MIB, share))
    return {"GOGC": "off", "GOMEMLIMIT": f"{limit}MiB"}


def parse_version(text: str) -> tuple[int, int]:
    """`go version go1.26.8 linux/amd64` -> (1, 26)."""
    match = re.search(r"go(\d+)\.(\d+)", text)
    if not match:
        raise LocalError(f"`go version` says {text.strip()!r}, which names no version")
    return int(match[1]), int(match[2])


def toolchain(version: tuple[int, int]) -> str | None:
    """What GOTOOLCHAIN must be for this Go to build the modules; None to leave it as it is.

    Raises LocalError where this Go is too old to fetch a newer one.
    """
    if version >= versions.GO_NEEDED:
        return None
    if version >= versions.GO_SELF_UPDATING:
        return "auto"
    raise LocalError(
        f"Go {_text(version)} is too old to build the cluster's programs (Debian 12's own golang is 1.19). {_advice()}"
    )


def find_go() -> tuple[str, str | None]:
    """The path of a usable Go and the GOTOOLCHAIN that it needs."""
    search = os.pathsep.join([os.environ.get("PATH", ""), *_GO_PLACES])
    go = shutil.which("go", path=search)
    if go is None:
        raise LocalError(f"The cluster's programs must be built from source here, and there is no Go. {_advice()}")
    # `local`, so that asking for the version fetches nothing
    text = run([go, "version"], environment={**os.environ, "GOTOOLCHAIN": "local"}).stdout
    return go, toolchain(parse_version(text))


def build(packages: Mapping[str, str], destination: Path, progress: Progress) -> None:
    """Build `packages` (program -> Go package) into `destination/<program>`, in one go: what they share is compiled
    once. Minutes when nothing is cached; the console shows how far it is."""
    go, chosen = find_go()
    environment = {**_compiler_memory(), **os.environ, "CGO_ENABLED": "0"}
    if chosen:
        environment["GOTOOLCHAIN"] = chosen
    environment.setdefault("HOME", "/root")
    go_cache = Path(run([go, "env", "GOCACHE"], environment=environment).stdout.strip())
    machine.check_disk(go_cache, machine.BUILD_GIB, "the build from source: free some, or set GOCACHE and GOMODCACHE")
    destination.mkdir(parents=True, exist_ok=True)
    scratch = destination / "building"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    wanted = list(packages.values())
    total = _count(go, wanted, environment, progress)
    command = [go, "build", "-v", *_MODULE_FLAGS, *flags(), "-o", f"{scratch}/", *wanted]
    _follow(command, environment, progress, total)
    for program, package in packages.items():
        (scratch / package.rpartition("/")[2]).replace(destination / program)
    shutil.rmtree(scratch)


def _count(go: str, packages: Sequence[str], environment: Mapping[str, str], progress: Progress) -> int:
    """How many packages there are to compile; downloads the modules on the way."""
    progress.update("fetching the modules")
    command = [go, "list", *_MODULE_FLAGS, "-deps", *packages]
    done = subprocess.run(command, cwd=SOURCES, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalError(_failure(done.stderr.splitlines()))
    return len(done.stdout.splitlines())


def _follow(command: Sequence[str], environment: Mapping[str, str], progress: Progress, total: int) -> None:
    """Run the build; it names each package that it compiles, what is cached goes unnamed."""
    compiled, lines = 0, []
    with subprocess.Popen(
        list(command), cwd=SOURCES, env=dict(environment), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr
        for line in process.stderr:
            lines.append(line.rstrip())
            compiled += 1
            progress.update(f"compiling {line.strip()}", compiled, total)
    if process.returncode:
        raise LocalError(_failure(lines))


def _failure(lines: Sequence[str]) -> str:
    told = " | ".join([line for line in lines if not line.startswith("go: downloading")][-8:])
    return f"Go could not build {SOURCES}: {told}"


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _advice() -> str:
    return (
        f"Install Go {_text(versions.GO_SELF_UPDATING)} or later (it fetches the {_text(versions.GO_NEEDED)} that is "
        "needed by itself): `apt-get install -t bookworm-backports golang-go` with Debian's backports enabled, or the "
        "archive from https://go.dev/dl/ unpacked to /usr/local/go. Then run `make up` again"
    )
