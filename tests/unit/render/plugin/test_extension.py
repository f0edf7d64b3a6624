"""A plugin that extends another: its own words, and for the rest the other's."""

from __future__ import annotations

from pathlib import Path

import pytest

from render.lint.plugin import errors, lint
from render.plugin.bundle import PluginRefused, folder_files, load_folder
from render.plugin.extension import merged
from tests.unit.render.support import FILES

FLAVOUR = """\
apiVersion: plugin.middleware.io/v1alpha1
kind: Plugin
metadata: {name: ledge, version: 2.0.0}
extends: shelf
spec:
  description: A narrower shelf
  components:
  - name: store
    parameters: [parameters.yaml, more.yaml]
    tools: ledge.yaml
"""
TOOLS = """\
extends: tools.yaml
tools:
  getVersion: {steps: [{set: {a: b}}], result: {version: "2"}}
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    write(tmp_path / "shelf", FILES)
    more = "drawers: {schema: {type: integer}, default: 2}\ncache-size: {schema: {type: integer}, default: 1}\n"
    write(tmp_path / "ledge", {"plugin.yaml": FLAVOUR, "ledge.yaml": TOOLS, "more.yaml": more})
    return tmp_path


def write(folder: Path, files: dict[str, str] | object) -> None:
    assert hasattr(files, "items")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_what_it_does_not_say_is_as_in_the_other(plugins: Path) -> None:
    ledge, shelf = load_folder(plugins / "ledge"), load_folder(plugins / "shelf")
    assert (ledge.name, ledge.version, ledge.plugin.spec.description) == ("ledge", "2.0.0", "A narrower shelf")
    assert ledge.plugin.spec.topologies == shelf.plugin.spec.topologies
    assert [each.name for each in ledge.plugin.spec.components] == [each.name for each in shelf.plugin.spec.components]
    parameters = ledge.parameters["store"]
    assert (parameters["drawers"].default, parameters["cache-size"].default) == (2, 1), "the later file counts"
    assert parameters["threads"] == shelf.parameters["store"]["threads"]


def test_what_is_installed_is_whole(plugins: Path) -> None:
    """So its digest is that of all its content, and another content of the other plugin changes nothing of it."""
    files = folder_files(plugins / "ledge")
    assert "extends: shelf" not in files["plugin.yaml"]
    assert {"tools.yaml", "ledge.yaml", "watch.yaml", "shelf.conf.j2"} <= set(files)
    assert errors(lint(files)) == []


def test_a_file_of_the_other_that_nothing_names_any_more_is_left_out(plugins: Path) -> None:
    write(plugins / "ledge", {"ledge.yaml": FILES["tools.yaml"]})
    assert "tools.yaml" not in folder_files(plugins / "ledge")


def test_its_own_file_stands_in_the_place_of_the_others(plugins: Path) -> None:
    write(plugins / "ledge", {"shelf.conf.j2": "mine\n"})
    assert folder_files(plugins / "ledge")["shelf.conf.j2"] == "mine\n"


@pytest.mark.parametrize(
    ("extends", "said"),
    [
        ("../shelf", "plugin.yaml:4:1: extends: '../shelf' is no name of a folder"),
        ("shelv", "plugin.yaml:4:1: extends: there is no plugin in a folder 'shelv' beside this one"),
        ("ledge", "goes round in a circle, ledge -> ledge"),
    ],
)
def test_what_cannot_be_extended_is_said_where_it_stands(plugins: Path, extends: str, said: str) -> None:
    write(plugins / "ledge", {"plugin.yaml": FLAVOUR.replace("extends: shelf", f"extends: {extends}")})
    with pytest.raises(PluginRefused) as refused:
        load_folder(plugins / "ledge")
    assert said in str(refused.value)


def test_lists_of_named_things_are_merged_by_name_and_others_replaced() -> None:
    base = {"a": [{"name": "x", "v": 1}, {"name": "y"}], "b": [1, 2], "c": {"d": 1, "e": 2}, "f": 1}
    own = {"a": [{"name": "z"}, {"name": "x", "v": 2}], "b": [3], "c": {"d": None}}
    assert merged(base, own) == {
        "a": [{"name": "x", "v": 2}, {"name": "y"}, {"name": "z"}],
        "b": [3],
        "c": {"e": 2},
        "f": 1,
    }
