"""Programs: the order in which they are looked for, what a Go must be, and that the pins agree with the module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.local import gobuild, programs, versions
from deploy.local.errors import LocalError
from deploy.local.paths import SOURCES
from deploy.local.programs import PROGRAMS, Finder, Program, link_all, source_digest
from deploy.local.progress import Progress
from deploy.local.releases import Releases

BY_NAME = {program.name: program for program in PROGRAMS}


class FakeReleases(Releases):
    """Publishes the named programs: a fake, because the order is under test, not the download."""

    def __init__(self, *published: str) -> None:
        super().__init__({}, None)
        self.published = published
        self.asked: list[str] = []

    def fetch(self, program: str, version: str, destination: Path) -> bool:
        self.asked.append(program)
        if program in self.published:
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.write_text("official")
        return program in self.published


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What was built from source; the build itself is replaced, it takes minutes."""
    calls: list[dict[str, str]] = []

    def fake_build(packages: dict[str, str], destination: Path, progress: Progress) -> None:
        calls.append(dict(packages))
        destination.mkdir(parents=True, exist_ok=True)
        for name in packages:
            (destination / name).write_text("built")

    monkeypatch.setattr(gobuild, "build", fake_build)
    return calls


def finder(tmp_path: Path, releases: Releases, installed: dict[str, Path] | None = None) -> Finder:
    return Finder(tmp_path / "cache", Progress(), releases, lambda program: (installed or {}).get(program.name))


def test_what_is_nowhere_is_built_in_one_go_and_then_cached(tmp_path: Path, builds: list[dict[str, str]]) -> None:
    first, second = finder(tmp_path, FakeReleases()), finder(tmp_path, FakeReleases())
    found = first.find_all()
    assert set(found) == set(BY_NAME)
    packages = {"cluster", "containerd", "containerd-shim-runc-v2", "coredns", "volumes", "pause", "helm", "temporal"}
    assert [set(call) for call in builds] == [packages]
    assert found["etcd"] == found["kubelet"] == found["kubectl"]
    assert second.find_all() == found
    assert len(builds) == 1
    assert (first.made, second.made) == ("built", "cached")


def test_the_machines_own_goes_first_then_the_cache_then_the_release(
    tmp_path: Path, builds: list[dict[str, str]]
) -> None:
    installed = {"helm": tmp_path / "usr" / "helm"}
    releases = FakeReleases("helm", "temporal")
    found = finder(tmp_path, releases, installed).find_all()
    assert found["helm"] == installed["helm"]
    assert found["temporal"].read_text() == "official"
    assert "helm" not in releases.asked
    assert all("temporal" not in call for call in builds)
    again = FakeReleases()
    finder(tmp_path, again, installed).find_all()
    assert again.asked == []


def test_changed_sources_are_built_anew(tmp_path: Path) -> None:
    files = ("go.mod", "go.sum", "pause/main.go", "absent/storage/storage.go")
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    program = Program("pause", "v1", "./pause", folder="pause")
    seen = {source_digest(program, tmp_path), source_digest(program, tmp_path)}
    for name in files:
        (tmp_path / name).write_text("changed")
        seen.add(source_digest(program, tmp_path))
    assert len(seen) == 1 + len(files)


def test_links_follow_a_new_version(tmp_path: Path) -> None:
    for target in ("old", "new"):
        link_all({"kubectl": tmp_path / target}, tmp_path / "bin")
        assert (tmp_path / "bin" / "kubectl").readlink() == tmp_path / target
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["kubectl"]


@pytest.mark.parametrize(
    ("said", "version", "taken"),
    [
        ("Kubernetes v1.34.4", "v1.34.4", True),
        ("Kubernetes v1.34.41", "v1.34.4", False),
        ("temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)", "v1.5.1", True),
        ("CoreDNS-1.12.4\nlinux/amd64, go1.26", "v1.12.4", True),
        ("v3.19.0+gabcdef1", "v3.19.0", True),
    ],
)
def test_a_program_on_path_is_taken_only_in_the_pinned_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, version: str, taken: bool
) -> None:
    path = tmp_path / "tool"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("MW_CACHE", str(tmp_path / "cache"))
    assert (programs.on_machine(Program("tool", version, "./tool", ask=("--version",))) == path) is taken


def test_a_link_into_the_cache_is_not_taken_for_the_machines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "cache" / "tool"
    cached.parent.mkdir()
    cached.write_text("#!/bin/sh\necho v1\n")
    cached.chmod(0o755)
    link_all({"tool": cached}, tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("MW_CACHE", str(tmp_path / "cache"))
    assert programs.on_machine(Program("tool", "v1", "./tool", ask=("--version",))) is None


@pytest.mark.parametrize(
    ("version", "expected"), [((1, 26), None), ((1, 25), None), ((1, 21), "auto"), ((1, 24), "auto")]
)
def test_a_go_that_can_fetch_a_newer_one_is_told_to(version: tuple[int, int], expected: str | None) -> None:
    assert gobuild.toolchain(version) == expected


def test_debians_go_is_refused_with_what_to_do() -> None:
    with pytest.raises(LocalError, match=r"too old.*bookworm-backports"):
        gobuild.toolchain(gobuild.parse_version("go version go1.19.8 linux/amd64"))


def test_no_go_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gobuild, "_GO_PLACES", ())
    with pytest.raises(LocalError, match="there is no Go"):
        gobuild.find_go()


def test_versions_and_the_module_agree() -> None:
    module = (SOURCES / "go.mod").read_text()
    required = dict(re.findall(r"^\s*(?:require )?(\S+) (v\S+)", module, re.MULTILINE))
    assert required["k8s.io/kubernetes"] == versions.KUBERNETES
    assert required["go.etcd.io/etcd/server/v3"] == versions.ETCD
    assert required["github.com/coredns/coredns"] == versions.COREDNS
    assert required["helm.sh/helm/v3"] == versions.HELM
    assert required["github.com/temporalio/cli"] == versions.TEMPORAL
    directive = re.search(r"^go (\d+)\.(\d+)", module, re.MULTILINE)
    assert directive
    assert (int(directive[1]), int(directive[2])) <= versions.GO_NEEDED
