"""A plugin is somebody else's: installing or using one fetches nothing, reads nothing beside it, and stops nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from api.plugin import Parameter
from render.plugin.bundle import PluginRefused, from_config_maps, load_folder, to_config_maps
from render.plugin.parameters import parameter_problems
from tests.unit.activities.support.cluster import World
from tests.unit.plugins.support import PLUGINS
from tests.unit.render.support import DEFINITION, FILES, PARAMETERS, shelf


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and what it was asked for."""
    paths: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"type": "string"}')

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("schema", ["{{$ref: '{at}/metadata'}}", "{{$id: '{at}/x', anyOf: [{{$ref: y}}]}}"])
def test_a_schema_that_refers_elsewhere_is_refused_and_nothing_is_fetched(
    asked: tuple[str, list[str]], schema: str
) -> None:
    address, paths = asked
    text = schema.format(at=address)
    with pytest.raises(PluginRefused, match="nothing is fetched"):
        shelf(parameters_yaml=f"{PARAMETERS}far: {{schema: {text}, default: a}}\n")
    parameter = Parameter.model_validate({"schema": {"$ref": f"{address}/metadata"}})
    (problem,) = parameter_problems("config", "store", {"far": "a"}, {"far": parameter})
    assert problem.path == "config.far"
    assert paths == []


def test_a_schema_may_refer_to_a_part_of_itself() -> None:
    near = "near: {schema: {$ref: '#/$defs/word', $defs: {word: {enum: [a, b]}}}, default: a}\n"
    parameters = shelf(parameters_yaml=PARAMETERS + near).parameters["store"]
    assert parameter_problems("config", "store", {"near": "b"}, parameters) == []
    assert parameter_problems("config", "store", {"near": "c"}, parameters) != []


def written(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("leads_to", ["../secret.txt", "../.kube/config", "../notes/README.md", "../other/.git/config"])
def test_a_link_that_leaves_the_plugin_is_refused(tmp_path: Path, leads_to: str) -> None:
    folder = written(tmp_path / "shelf")
    written(tmp_path / "other")
    target = (folder / leads_to).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("token: not-for-you")
    (folder / "README.md").symlink_to(leads_to)
    with pytest.raises(PluginRefused, match=r"README\.md: leads to .*, which is no file of this plugin"):
        load_folder(folder)


def test_a_link_within_the_plugin_or_to_one_beside_it_is_followed(tmp_path: Path) -> None:
    older, newer = written(tmp_path / "shelf"), written(tmp_path / "shelf-1.1")
    (newer / "shelf.conf.j2").unlink()
    (newer / "shelf.conf.j2").symlink_to("../shelf/shelf.conf.j2")
    (newer / "NOTES.md").symlink_to("parameters.yaml")
    assert load_folder(newer).files["shelf.conf.j2"] == load_folder(older).files["shelf.conf.j2"]
    assert load_folder(PLUGINS / "redis-1.1").version == "1.1.0"


@pytest.mark.parametrize("version", ["1.0.0-templates", "1.0.0-templates-1"])
async def test_an_app_that_names_the_templates_for_a_version_is_refused(version: str) -> None:
    world = World(plugin={"name": "shelf", "version": version})
    refusal = (await world.load()).refusal
    assert refusal == f"spec.plugin.version: version {version} of plugin shelf is not installed; installed: 1.0.0"


@pytest.mark.parametrize("version", ["1.0.0-templates", "1.0.0-templates-1"])
def test_a_plugin_cannot_take_the_place_of_another_ones_templates(version: str) -> None:
    text = DEFINITION.replace("name: shelf, version: 1.0.0", f"name: shelf, version: {version}")
    with pytest.raises(PluginRefused, match="ends as the names of Template ConfigMaps do"):
        shelf(plugin_yaml=text)


def test_templates_are_no_plugin() -> None:
    templates = to_config_maps(shelf(), "x")[1]
    with pytest.raises(PluginRefused, match="has no definition of a plugin"):
        from_config_maps(templates, [])
