"""Plugins as files and as ConfigMaps, and the check before one is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from render.check.successor import check_successor, shared_runtime_versions
from render.lint.plugin import errors, lint
from render.plugin.bundle import PluginRefused, digest_of, from_config_maps, from_files, load_folder, to_config_maps
from tests.unit.render.support import DEFINITION, FILES, TOOLS, WATCH, shelf, with_tools
from tests.unit.render.support import found_by_lint as found


def refusal(**changes: str) -> str:
    with pytest.raises(PluginRefused) as refused:
        shelf(**changes)
    return str(refused.value)


def test_there_and_back_again() -> None:
    maps = to_config_maps(shelf(), "middleware-system")
    assert [m["metadata"]["name"] for m in maps] == ["plugin-shelf-1.0.0", "plugin-shelf-1.0.0-templates"]
    assert all(m["immutable"] for m in maps)
    assert maps[0]["metadata"]["labels"]["middleware.io/plugin-version"] == "1.0.0"
    assert from_config_maps(maps[0], maps[1:]) == shelf()


def test_large_plugins_are_split_and_larger_files_refused() -> None:
    big = from_files({**FILES, **{f"scripts/{n}.sh": str(n) * 500_000 for n in range(3)}})
    maps = to_config_maps(big, "x")
    assert len(maps) == 4
    assert all(sum(len(text) for text in m["data"].values()) < 1024 * 1024 for m in maps)
    assert from_config_maps(maps[0], maps[1:]).digest == big.digest
    with pytest.raises(PluginRefused, match="a file may have at most"):
        to_config_maps(from_files({**FILES, "huge": "x" * 1_000_000}), "x")


def test_a_changed_or_missing_template_map_is_noticed() -> None:
    maps = to_config_maps(shelf(), "x")
    with pytest.raises(PluginRefused, match=r"plugin-shelf-1.0.0-templates is missing"):
        from_config_maps(maps[0], [])
    maps[1]["data"]["shelf.conf.j2"] += "more"
    with pytest.raises(PluginRefused, match="the content has sha256:"):
        from_config_maps(maps[0], maps[1:])


def test_the_digest_tells_names_from_contents() -> None:
    assert digest_of({"a": "bc"}) != digest_of({"ab": "c"})
    assert digest_of({"a": "1", "b": "2"}) == digest_of({"b": "2", "a": "1"})


def test_a_folder_is_read_without_hidden_files(tmp_path: Path) -> None:
    for name, text in {**FILES, ".git/config": "x"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert load_folder(tmp_path).digest == shelf().digest


def test_refusals_name_file_and_field() -> None:
    assert "plugin.yaml:3:1: is not YAML" in refusal(plugin_yaml="a: 1\nb: [\n")
    text = FILES["plugin.yaml"]
    assert "plugin.yaml:28:5: spec.components[0].user: 0 is not allowed" in refusal(
        plugin_yaml=text.replace("user: 1234", "user: 0")
    )
    assert "file 'absent.j2' is not in the plugin" in refusal(
        plugin_yaml=text.replace("template: shelf.conf.j2", "template: absent.j2")
    )
    assert "parameters.yaml:1:17: size.schema.type: is not JSON Schema" in refusal(
        parameters_yaml="size: {schema: {type: intejer}}\n"
    )
    assert "parameters.yaml:1:33: size.default: 'x' is not of type 'integer'" in refusal(
        parameters_yaml="size: {schema: {type: integer}, default: x}\n"
    )
    assert 'parameters.yaml:3:3: size.default: "1mb\\n" has a line break' in refusal(
        parameters_yaml="size:\n  schema: {type: string, pattern: '^[0-9]+mb$'}\n  default: |\n    1mb\n"
    )


def test_a_good_plugin_passes_the_check() -> None:
    assert errors(lint(FILES)) == []


def test_the_check_finds_what_an_app_would_run_into() -> None:
    text = FILES["plugin.yaml"]
    assert "shelf.conf.j2:1:4: nothing is called 'prot' in a template" in found(shelf_conf_j2="{{ prot }}")
    assert "tool 'ready' is missing" in found(watch_yaml="tools: {x: {steps: [{fail: a}]}}\n")
    assert "tool 'getRole' is missing" in found(tools_yaml=WATCH)
    wrong_role = TOOLS.replace('"{{ said }}"', "\"{{ 'boss' if said == 'm' else said }}\"")
    assert "gives the role 'boss', which plugin.yaml does not declare; declared are primary, replica" in found(
        tools_yaml=wrong_role
    )
    assert "50051 is the agents' own" in found(plugin_yaml=text.replace("port: 7000", "port: 50051"))
    assert "2 is not in 3 to 99" in found(plugin_yaml=text.replace("minimum: 2", "minimum: 3"))
    half = with_tools("acceptCredentials: {steps: [{set: {a: b}}]}\n")
    assert "'acceptCredentials' is there without 'retireCredentials'" in found(tools_yaml=half)
    assert [each.file for each in errors(lint({**FILES, "litter.j2": ""}))] == ["litter.j2"]


def undone_by(tool: str, more: str = "unfence: {steps: [{set: {x: y}}]}\n") -> str:
    """What the check says of a tool ``fence`` like this."""
    fence = f"fence:\n  steps: [{{set: {{x: y}}}}]\n  undo: {{tool: {tool}, after: '5'}}\n"
    return found(tools_yaml=with_tools(fence + more))


@pytest.mark.parametrize(
    ("undo", "more", "refused"),
    [
        ("fence", "", "fence cannot undo itself; name the tool that takes back what fence does"),
        (
            "unfense",
            "unfence: {steps: [{set: {x: y}}]}\n",
            "there is no tool 'unfense'; did you mean unfence?; write it, or name one of getRole, ready, unfence",
        ),
        (
            "unfence",
            "unfence: {steps: [{set: {x: y}}], undo: {tool: ready, after: '5'}}\n",
            "unfence has an undo of its own; remove that one",
        ),
        (
            "unfence",
            "unfence: {steps: [{set: {x: y}}], undo: {tool: fence, after: '5'}}\n",
            "unfence has an undo of its own; remove that one",
        ),
    ],
)
def test_an_undo_that_would_never_end_is_refused(undo: str, more: str, refused: str) -> None:
    assert refused in undone_by(undo, more)
    assert "tools.yaml:11:18: tools.fence.undo.tool: " in undone_by(undo, more)


def test_an_undo_by_another_tool_is_fine() -> None:
    assert undone_by("unfence") == ""


def test_adjacent_versions_share_a_runtime_version() -> None:
    text = FILES["plugin.yaml"].replace("version: 1.0.0", "version: 1.1.0")
    newer = shelf(plugin_yaml=text)
    assert shared_runtime_versions(shelf(), newer) == ["1", "2", "3"]
    assert check_successor(shelf(), newer) == []
    moved = re.sub(r'ersion: "(\d)"', lambda found: f'ersion: "{int(found[1]) + 3}"', text)
    (problem,) = check_successor(shelf(), shelf(plugin_yaml=moved))
    assert "shares no runtime version with shelf 1.0.0, which has 1, 2, 3" in problem.message
    (problem,) = check_successor(shelf(), shelf(shelf_conf_j2="other\n"))
    assert "is installed with other content" in problem.message


def test_a_topology_in_which_the_platform_fails_over_needs_the_tools_for_it() -> None:
    definition = DEFINITION.replace("  - name: cluster\n", "  - name: cluster\n    failover: platform\n")
    said = found(plugin_yaml=definition)
    assert "tools.yaml:3:1: tools: topology 'cluster'" in said
    assert "these tools are missing: " in said
    assert "detach" in said
    assert "no result 'position'" in said
    whole = "".join(
        f"{name}: {{timeout: 3, steps: [{{set: {{x: y}}}}]}}\n"
        for name in ("fence", "unfence", "detach", "failover", "follow")
    )
    tools = with_tools(whole, TOOLS.replace('role: "{{ said }}"', 'role: "{{ said }}", position: 1'))
    assert found(plugin_yaml=definition, tools_yaml=tools) == ""


@pytest.mark.parametrize(("tool", "seconds", "most"), [("follow", 240, "15"), ("reloadConfig", 121, "120")])
def test_a_tool_that_the_platform_would_cut_off_is_refused(tool: str, seconds: int, most: str) -> None:
    tools = with_tools(f"{tool}: {{timeout: {seconds}, steps: [{{set: {{x: y}}}}]}}\n")
    said = found(tools_yaml=tools)
    assert f"tool {tool!r} may take {seconds} s, but the platform waits for it for {most} s" in said
    assert found(tools_yaml=tools.replace(f"timeout: {seconds}", f"timeout: {most}")) == ""


def test_a_bootstrap_says_where_the_data_are_to_be_and_asks_no_engine() -> None:
    step = "{run: {argv: [initdb, '{{ arg.directory }}']}}"
    assert found(tools_yaml=with_tools(f"bootstrap: {{directory: data/main, timeout: 300, steps: [{step}]}}\n")) == ""
    said = found(tools_yaml=with_tools(f"bootstrap: {{steps: [{step}]}}\n"))
    assert "tool 'bootstrap' has no directory; write where the data are to be, for example directory: data" in said
    within = found(tools_yaml=with_tools(f"bootstrap: {{directory: conf, steps: [{step}]}}\n"))
    assert "is there before 'bootstrap' runs, which begins on an empty directory only" in within
    outside = found(tools_yaml=with_tools(f"bootstrap: {{directory: ../x, steps: [{step}]}}\n"))
    assert "tools.bootstrap.directory" in outside
    other = found(tools_yaml=with_tools("custom: {directory: data, steps: [{set: {x: y}}]}\n"))
    assert "tools.custom.directory: is for the tool 'bootstrap' alone; remove it" in other
    asks = found(tools_yaml=with_tools("bootstrap: {directory: data, steps: [{restart: {}}]}\n"))
    assert "restart is for an engine that runs; bootstrap comes before it starts" in asks


def test_leaving_may_take_hours() -> None:
    assert found(tools_yaml=with_tools("leave: {timeout: 36000, steps: [{set: {x: y}, timeout: 36000}]}\n")) == ""


def test_a_condition_on_an_item_without_a_loop_is_refused() -> None:
    """It was passed over without a word, so the step always ran."""
    step = "{name: rewind, when: item == 'rewound', set: {x: y}}"
    said = found(tools_yaml=with_tools(f"follow: {{steps: [{step}]}}\n"))
    assert "tools.yaml:9:41: tools.follow.steps[0].when: 'item' is not known here: it is known in a step" in said
    for before, fine in (
        ("set: {p: q}, firstOf: \"['rewound']\"", True),
        ("set: {p: q}, forEach: \"['a']\"", False),
        ("set: {p: q}, forEach: \"['a']\", when: item == 'a'", False),
        ("forEach: \"['a']\", steps: [{set: {p: q}, when: item == 'a'}]", None),
    ):
        text = with_tools(f"follow: {{steps: [{{{before}}}, {step if fine is not None else '{set: {x: y}}'}]}}\n")
        assert ("'item' is not known here" in found(tools_yaml=text)) == (fine is False)
