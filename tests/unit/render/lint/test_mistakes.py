"""What an author of a plugin hears of mistakes: each at its place, with what to write instead, before any node does."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from cli.plugins import install
from cli.session import CommandError
from clients.kubernetes import Kubernetes
from render.lint.names import tool_names
from render.lint.plugin import errors, lint
from render.manifests.node import stand_in_addresses, template_context
from render.plugin.bundle import folder_files, from_files
from tests.unit.plugins.support import PLUGINS, wanted
from tests.unit.render.lint.kiosk import FILES, MORE, TWELVE, Mistake, with_mistakes
from tests.unit.watcher.support.fakes import Administrators


def test_a_good_plugin_hears_nothing() -> None:
    assert lint(FILES) == []


def test_of_twelve_mistakes_each_is_found_at_its_place() -> None:
    files, places = with_mistakes(TWELVE)
    found = lint(files)
    assert len(places) == 12
    assert sorted((each.file, each.line, each.column) for each in found) == places
    said = "\n".join(map(str, found))
    assert [mistake.said for mistake in TWELVE if mistake.said not in said] == []


@pytest.mark.parametrize("mistake", [*TWELVE, *MORE], ids=lambda mistake: mistake.said)
def test_each_mistake_by_itself_is_found_at_its_place(mistake: Mistake) -> None:
    files, places = with_mistakes([mistake])
    found = errors(lint(files))
    assert places == sorted({(each.file, each.line, each.column) for each in found})
    assert mistake.said in str(found[0])


@pytest.mark.parametrize("mistake", TWELVE, ids=lambda mistake: mistake.said)
async def test_none_of_the_twelve_reaches_a_node(mistake: Mistake, tmp_path: Path) -> None:
    files, ((file, line, column),) = with_mistakes([mistake])
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    kubernetes = Administrators()
    with pytest.raises(CommandError, match=f"{file}:{line}:{column}: "):
        await install(cast(Kubernetes, kubernetes), tmp_path)
    assert [call for call in kubernetes.calls if call[0] == "create"] == []


def test_what_is_hard_to_read_is_a_warning_and_keeps_nothing_from_being_installed() -> None:
    pattern = "a" * 61
    tools = FILES["tools.yaml"].replace("matching('^ok')", f"matching('{pattern}')")
    tools = tools.replace("  ready:", "  getRoles: {steps: [{fail: no}]}\n  ready:") + f"# {'long ' * 30}\n"
    found = lint({**FILES, "tools.yaml": tools})
    assert errors(found) == []
    assert [(each.line, each.message.partition(";")[0]) for each in found] == [
        (21, "the platform calls no tool 'getRoles' by itself"),
        (26, "a regular expression of 61 characters"),
        (26, "a line of 157 characters"),
        (43, "a line of 152 characters"),
    ]
    assert "tools.yaml:21:3: tools.getRoles: warning: " in str(found[0])


def test_a_mistake_under_an_anchor_is_told_once() -> None:
    """It was told at the anchor for each of its aliases."""
    tools = FILES["tools.yaml"].replace(
        "  ready:", "  first: &same {steps: [{fail: '{{ nobody }}'}]}\n  second: *same\n  ready:"
    )
    (found,) = errors(lint({**FILES, "tools.yaml": tools}))
    assert "nobody" in found.message


def test_in_what_another_file_extends_the_place_is_in_that_file() -> None:
    tools = FILES["tools.yaml"].replace("info.loading", "«lodaing")
    line = next(number for number, text in enumerate(tools.splitlines(), start=1) if "«" in text)
    files = {
        **FILES,
        "plugin.yaml": FILES["plugin.yaml"].replace("tools: tools.yaml", "tools: newer.yaml"),
        "tools.yaml": tools.replace("«", ""),
        "newer.yaml": "extends: tools.yaml\ntools:\n  unfence: {steps: [{call: stat}]}\n",
    }
    found = errors(lint(files))
    assert [(each.file, each.line) for each in found] == [("newer.yaml", 3), ("tools.yaml", line)]


def test_a_word_is_a_text_where_yaml_once_took_it_for_a_switch() -> None:
    """YAML 1.1 made ``true`` of yes, 416 of 0640 and 90 of 1:30, and the engine was told that."""
    definition = FILES["plugin.yaml"].replace("command: [kiosk,", "command: [kiosk, yes, NO, 0640, 1:30, 2024-01-01,")
    bundle = from_files({**FILES, "plugin.yaml": definition})
    words = bundle.plugin.spec.components[0].process.command[1:6]
    assert words == ["yes", "NO", "0640", "1:30", "2024-01-01"]


@pytest.mark.parametrize("topology", ["standalone", "replication", "sentinel"])
def test_the_names_that_lint_knows_are_those_that_are_rendered(topology: str) -> None:
    of = wanted("redis", topology)
    component = of.component("redis-server")
    node = component.nodes[0]
    context = template_context(
        of, component, node, addresses=stand_in_addresses(of), bootstrap=component.bootstrap_node
    )
    known = tool_names(of.bundle, component.definition)
    assert set(context) <= set(known)
    for name in ("app", "plugin", "component", "resources", "node"):
        assert set(context[name]) <= set(known[name] or ()), name
    assert set(context["config"]) <= set(known["config"] or ())


@pytest.mark.parametrize("plugin", [path.parent.name for path in sorted(PLUGINS.glob("*/plugin.yaml"))])
def test_the_plugins_here_have_no_mistake(plugin: str) -> None:
    assert errors(lint(folder_files(PLUGINS / plugin))) == []


def test_a_file_that_is_written_once_makes_the_author_decide_about_a_restart() -> None:
    """Its dynamic parameters would otherwise be lost silently where a restart follows."""
    once = FILES["plugin.yaml"].replace("kiosk.conf.j2}", "kiosk.conf.j2, write: once}")
    tools = FILES["tools.yaml"] + "  reloadConfig: {steps: [{forEach: arg, resp: [SET, '{{ item.value }}']}]}\n"
    assert errors(lint({**FILES, "tools.yaml": tools})) == []
    (found,) = errors(lint({**FILES, "plugin.yaml": once, "tools.yaml": tools}))
    assert (found.file, found.path) == ("tools.yaml", "tools.reloadConfig")
    assert "/middleware/kiosk.conf is written once" in found.message
    for word in ("true", "false"):
        decided = tools.replace("reloadConfig: {", f"reloadConfig: {{beforeRestart: {word}, ")
        assert errors(lint({**FILES, "plugin.yaml": once, "tools.yaml": decided})) == []
