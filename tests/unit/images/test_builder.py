"""The order of a build: what waits for what, what is made once, and what a failure leaves of the rest."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.images import bases, commands, host
from deploy.images.builder import Builder, Made
from deploy.images.catalog import Image
from deploy.images.commands import BuildError

IMAGES = [
    Image("redis", "7.0", "bookworm"),
    Image("redis", "6.0", "bullseye"),
    Image("zookeeper", "3.8", "bookworm"),
    Image("platform", "1", "bookworm", ("agent",), ("grpcio",)),
]
SECONDS = 20  # for what happens at once

Command = list[str]
Programs = Callable[[Command, Path], None]


def kind(command: Command) -> str:
    return command[0] if command[0] in ("mmdebstrap", "buildah") else "pip"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Command]:
    """The commands that a build runs. The programs are replaced: they take minutes and need root."""
    ran: list[Command] = []
    monkeypatch.setattr(host, "machine_archives", lambda: host.Archives("http://main", "http://security"))
    monkeypatch.setattr(bases, "apt_options", list)
    replace(monkeypatch, lambda command, log: ran.append(command))
    return ran


def replace(monkeypatch: pytest.MonkeyPatch, also: Programs) -> None:
    def run(command: Command, log: Path, environment: object = None) -> None:
        also(command, log)
        for word in command:
            if word.endswith(".partial.tar"):
                Path(word).write_bytes(word.encode())
            elif word.startswith("docker-archive:"):
                Path(word.split(":")[1]).write_bytes(b"image")

    monkeypatch.setattr(commands, "run", run)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "__init__.py").write_text("x = 1\n")
    (tmp_path / "requirements.lock").write_text("grpcio==1.0 \\\n    --hash=sha256:aa\n")
    return tmp_path


def build(repository: Path, report: Callable[[Made], None] = lambda made: None) -> dict[str, Path]:
    return Builder(repository / "cache", repository, report).build(IMAGES)


def test_a_base_is_made_once_for_all_images_on_it_and_what_is_unchanged_costs_no_command(
    repository: Path, machine: list[Command]
) -> None:
    archives = build(repository)
    assert all(archives[image.reference].exists() for image in IMAGES)
    assert len([command for command in machine if kind(command) == "mmdebstrap"]) == 2
    machine.clear()
    said: list[Made] = []
    assert build(repository, said.append) == archives
    assert machine == []
    assert not any(made.built for made in said)


def test_our_code_is_built_again_without_its_runtime(repository: Path, machine: list[Command]) -> None:
    build(repository)
    machine.clear()
    (repository / "agent" / "__init__.py").write_text("x = 2\n")
    said: list[Made] = []
    build(repository, said.append)
    assert [made.name for made in said if made.built] == ["platform:1"]
    assert len([command for command in machine if "build" in command]) == 1


def test_bases_and_wheels_are_made_side_by_side(
    repository: Path, machine: list[Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    met = threading.Barrier(3, timeout=SECONDS)  # two bases and a download: in a row, the first would wait in vain

    def together(command: Command, log: Path) -> None:
        if kind(command) != "buildah":
            met.wait()

    replace(monkeypatch, together)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    build(repository)


def test_what_failed_first_is_what_is_told_and_the_rest_gives_up(
    repository: Path, machine: list[Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_bullseye(command: Command, log: Path) -> None:
        if kind(command) == "mmdebstrap" and "bullseye" in command:
            raise BuildError("no bullseye anywhere")

    replace(monkeypatch, no_bullseye)
    with pytest.raises(BuildError, match="no bullseye anywhere"):
        build(repository)
    replace(monkeypatch, lambda command, log: machine.append(command))
    assert set(build(repository)) == {image.reference for image in IMAGES}


def test_the_package_lists_of_the_base_are_lent_to_what_is_built_on_it(
    repository: Path, machine: list[Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    lent: list[str] = []

    def programs(command: Command, log: Path) -> None:
        if kind(command) == "mmdebstrap":
            [hook] = [word for word in command if "copy-out" in word]
            (Path(hook.split()[-1]) / "lists").mkdir()
        lent.extend(word for word in command if word.endswith(":/var/lib/apt/lists:O"))

    replace(monkeypatch, programs)
    build(repository)
    assert len(lent) == len(IMAGES) + 1  # and a runtime
    assert all(Path(word.split(":")[0]).is_dir() for word in lent)
