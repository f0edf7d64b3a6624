"""What an author of a plugin does at the desk: no cluster is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.unit.render.lint.kiosk import FILES, TWELVE, with_mistakes

runner = CliRunner()


@pytest.fixture
def kiosk(tmp_path: Path) -> Path:
    folder = tmp_path / "kiosk"
    write(folder, FILES)
    return folder


def write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_lint_says_each_mistake_as_editors_read_it(kiosk: Path) -> None:
    files, places = with_mistakes(TWELVE)
    write(kiosk, files)
    result = runner.invoke(app, ["plugin", "lint", str(kiosk)])
    assert result.exit_code == 1
    *lines, last = result.output.splitlines()
    assert last == "12 errors, 0 warnings: it would be refused"
    assert [line.split(": ")[0] for line in lines] == [
        f"{kiosk}/{file}:{line}:{column}" for file, line, column in places
    ]
    result = runner.invoke(app, ["plugin", "lint", str(kiosk), "-o", "json"])
    found = json.loads(result.output)
    assert [(each["file"], each["line"], each["column"]) for each in found] == places
    assert {each["level"] for each in found} == {"error"}


def test_lint_of_a_good_plugin_ends_well(kiosk: Path) -> None:
    result = runner.invoke(app, ["plugin", "lint", str(kiosk)])
    assert (result.exit_code, result.output) == (0, "0 errors, 0 warnings: it may be installed\n")


def test_lint_of_what_cannot_be_read_says_which_file(kiosk: Path) -> None:
    (kiosk / "image.png").write_bytes(b"\xff\xfe\x00")
    result = runner.invoke(app, ["plugin", "lint", str(kiosk)])
    assert result.exit_code == 1
    assert f"{kiosk}/image.png: is not UTF-8 text" in result.output
