"""A node's ConfigMap: the document for the agents and the rendered files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from render.manifests.node import node_config_map
from render.plugin.bundle import PluginBundle
from render.plugin.templates import TemplateFailure
from tests.unit.render.support import shelf, wanted


def render(
    bundle: PluginBundle | None = None, *, bootstrap: str | None = "books-store-default-0", **more: Any
) -> dict[str, str]:
    d = wanted(bundle=bundle)
    c = d.component("store")
    addresses = {node.name: f"198.51.100.{i}" for i, node in enumerate(d.nodes, start=1)}
    made = node_config_map(d, c, c.nodes[1], addresses=addresses, bootstrap=bootstrap, revision=7, **more)
    assert made["metadata"]["name"] == "books-store-default-1"
    data: dict[str, str] = made["data"]
    return data


def test_files_are_rendered_with_the_effective_parameters() -> None:
    text = render()["middleware__conf__shelf.conf"]
    assert "cache-size 64mb\n" in text
    assert "journal yes\n" in text
    assert "heap 134217728\n" in text, "half of the memory limit, from a defaultExpression"
    assert "me 198.51.100.2 id 2 of 2\nfirst books-store-default-0\n" in text


def test_without_bootstrap_no_node_may_start_as_the_first() -> None:
    assert "first -" in render(bootstrap=None)["middleware__conf__shelf.conf"]


def test_the_document_tells_the_agents_who_they_are() -> None:
    document = json.loads(render(hold=True)["node.json"])
    assert (document["schema"], document["revision"], document["hold"]) == (1, 7, True)
    assert document["node"]["appUid"] == "uid-1"
    assert document["node"]["address"] == "198.51.100.2"
    assert document["roles"] == ["primary", "replica"]
    assert document["writableRoles"] == ["primary"]
    assert document["files"] == [
        {
            "path": "/middleware/conf/shelf.conf",
            "source": "middleware__conf__shelf.conf",
            "write": "always",
            "mode": "0640",
        }
    ]
    assert document["toolbox"]["tools"]["ready"]["steps"][0]["tcp"]["send"] == "ping {{ node.id }}", (
        "for the agent to fill in"
    )
    assert document["names"]["node"]["id"] == 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tools_yaml": "tools:\n  ready: {steps: [}\n"}, "tools.yaml, line 2: is not YAML"),
        ({"tools_yaml": "tools:\n  ready:\n    steps: []\n"}, "tools.yaml, line 3: tools.ready.steps"),
        (
            {"tools_yaml": "tools:\n  ready: {steps: [{fail: a}], only: nothing}\n"},
            "tools.yaml, line 2: expression 'nothing'",
        ),
        ({"tools_yaml": "extends: tools.yaml\n"}, "tools.yaml, line 1: extends: goes round in a circle"),
        ({"tools_yaml": "extends: others.yaml\n"}, "others.yaml, the plugin has no such file"),
        ({"tools_yaml": "- a\n"}, "tools.yaml, line 1: a mapping of fields belongs here"),
        ({"shelf_conf_j2": "a\n{% if x %}\n"}, "shelf.conf.j2, line 2"),
        ({"shelf_conf_j2": "{{ config.colour }}\n"}, "line 1: there is no entry 'colour'"),
        (
            {"parameters_yaml": "size: {schema: {type: integer}, defaultExpression: nonsense + 1}\n"},
            "parameters.yaml, line 1: expression 'nonsense + 1': 'nonsense' is undefined",
        ),
        (
            {"parameters_yaml": "size: {schema: {type: integer, maximum: 3}, defaultExpression: '2 + 2'}\n"},
            "defaultExpression of size: 4 is not allowed",
        ),
    ],
)
def test_failures_name_plugin_file_and_line(change: dict[str, str], text: str) -> None:
    with pytest.raises(TemplateFailure) as failure:
        render(shelf(**change))
    assert str(failure.value).startswith("plugin shelf 1.0.0, ")
    assert text in str(failure.value)


def test_tools_reach_the_agent_in_the_order_in_which_they_are_written() -> None:
    """A later line of ``set`` may use an earlier one, and the first connection of a kind is the default."""
    tools = """\
connections:
  zone: {tcp: "127.0.0.1:7000"}
  also: {tcp: "127.0.0.1:7001"}
tools:
  ready: {steps: [{set: {zero: 1, also: "{{ zero }}"}}]}
"""
    box = json.loads(render(shelf(tools_yaml=tools))["node.json"])["toolbox"]
    assert list(box["connections"]) == ["zone", "also"]
    assert list(box["tools"]["ready"]["steps"][0]["set"]) == ["zero", "also"]
