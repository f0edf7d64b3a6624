"""What is made before an instance starts: one installation, images beside the programs, errors that are heard."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from deploy.images import build as image_build
from deploy.images import host
from deploy.images.builder import Made
from deploy.images.commands import BuildError
from deploy.local import machine, prepare
from deploy.local.errors import LocalError
from deploy.local.progress import Progress

SECONDS = 20  # for what happens at once

Build = Callable[[Callable[[Made], None]], dict[str, Path]]


@pytest.fixture
def progress() -> Progress:
    return Progress(Console(file=io.StringIO(), width=120))


@pytest.fixture
def built_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Build], None]:
    def replace(build: Build) -> None:
        monkeypatch.setattr(image_build, "build", lambda names, cache, report: build(report))

    return replace


def test_all_debian_packages_come_in_one_installation(progress: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(machine, "check_user", lambda: None)
    monkeypatch.setattr(machine, "missing_packages", lambda: {"runc", "containerd"})
    monkeypatch.setattr(host, "missing_packages", lambda: {"buildah"})
    monkeypatch.setattr(machine, "install", lambda packages, progress: installed.append(packages))
    prepare.packages(progress, images=True)
    prepare.packages(progress, images=False)
    assert installed == [["buildah", "containerd", "runc"], ["containerd", "runc"]]


def test_a_machine_that_has_all_is_left_alone(progress: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "check_user", lambda: None)
    monkeypatch.setattr(machine, "missing_packages", set)
    monkeypatch.setattr(machine, "install", lambda packages, progress: pytest.fail("nothing is missing"))
    prepare.packages(progress, images=False)


def test_images_are_built_while_something_else_is_done(progress: Progress, built_by: Callable[[Build], None]) -> None:
    met = threading.Barrier(2, timeout=SECONDS)

    def build(report: Callable[[Made], None]) -> dict[str, Path]:
        met.wait()
        report(Made("redis:7.0", 1.0, built=True))
        return {"redis:7.0": Path("redis.tar")}

    built_by(build)
    with prepare.images_beside(progress) as images:
        met.wait()
    assert images.result() == {"redis:7.0": Path("redis.tar")}


def test_images_that_cannot_be_built_end_it(progress: Progress, built_by: Callable[[Build], None]) -> None:
    def build(report: Callable[[Made], None]) -> dict[str, Path]:
        raise BuildError("no mirror answers")

    built_by(build)
    with pytest.raises(LocalError, match="no mirror answers"), prepare.images_beside(progress):
        pass


def test_what_failed_beside_the_images_is_what_is_told(progress: Progress, built_by: Callable[[Build], None]) -> None:
    built_by(lambda report: {})
    with pytest.raises(LocalError, match="no Go"), prepare.images_beside(progress):
        raise LocalError("no Go")
