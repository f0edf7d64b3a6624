"""An author's own image: what is refused before anything is built, and what is built of packages and folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.authoring import images
from cli.main import app
from deploy.images.own.recipes import check, image, written
from deploy.images.recipe import recipe, stage

runner = CliRunner()


def test_a_list_of_packages_becomes_a_recipe_on_debians_base(tmp_path: Path) -> None:
    written(["nats-server", "netcat-openbsd"], 4222, tmp_path)
    check(tmp_path)
    text = (tmp_path / "Containerfile").read_text()
    assert "--no-install-recommends nats-server netcat-openbsd" in text
    assert text.endswith("USER 4222:4222\n")


def test_a_folder_goes_into_the_build_as_it_is(tmp_path: Path) -> None:
    own, context = tmp_path / "own", tmp_path / "context"
    (own / "runtime").mkdir(parents=True)
    (own / "Containerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY runtime /opt\n")
    (own / "runtime" / "file").write_text("x")
    made = recipe(image("cellar:1.0", "trixie", own), tmp_path)
    stage(made, "key", context)
    assert made.image.reference == "middleware.local/cellar:1.0"
    assert sorted(path.name for path in context.rglob("*")) == ["Containerfile", "file", "runtime"]
    before = made.key("below")
    (own / "runtime" / "file").write_text("y")
    assert made.key("below") != before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cellar"], "write NAME:TAG"),
        (["../cellar:1"], "write NAME:TAG"),
        (["redis:9", "--package", "redis"], "is the name of the platform's own image"),
        (["cellar:1", "--package", "redis; reboot"], "is not the name of a Debian package"),
        (["cellar:1", "--package", "redis", "--user", "0"], "user 0 is not allowed"),
        (["cellar:1", "--package", "redis", "--suite", "sid"], "there are bookworm, bullseye, trixie"),
        (["cellar:1"], "one of the two"),
        (["cellar:1", "--folder", "."], "has no Containerfile"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is(words: list[str], said: str, tmp_path: Path) -> None:
    if (len(words) == 1 and ":" not in words[0]) or words[0].startswith(".."):
        words = [*words, "--package", "redis"]
    command = [sys.executable, "-m", "deploy.images.own", *words, "--output", str(tmp_path / "x.tar")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "x.tar").exists()


def test_what_would_be_pulled_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text("FROM docker.io/library/redis:7\n")
    with pytest.raises(ValueError, match=r"begin with the lines ARG BASE and FROM \$\{BASE\}"):
        check(tmp_path)


def test_mw_image_runs_what_the_clone_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(images, "_run", lambda words: ran.append(list(words)))
    archive = tmp_path / "cellar.tar"
    archive.write_text("")
    assert runner.invoke(app, ["image", "build", "cellar:1.0", "--package", "a", "--package", "b"]).exit_code == 0
    assert runner.invoke(app, ["image", "load", str(archive), "--instance", "two"]).exit_code == 0
    assert ran[0][:2] == ["deploy.images.own", "cellar:1.0"]
    assert ran[0][-5:] == [str(Path("cellar-1.0.tar").resolve()), "--package", "a", "--package", "b"]
    assert ran[1] == ["deploy.local", "--instance", "two", "image", "load", str(archive)]
