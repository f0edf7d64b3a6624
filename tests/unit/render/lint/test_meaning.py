"""Lint also finds what reads well and cannot be meant; what may be meant it lets pass."""

from __future__ import annotations

import pytest

from render.lint.meaning.trials import trial_problems
from render.lint.plugin import errors, lint
from render.plugin.bundle import from_files
from tests.unit.render.lint.fresh import FRESH
from tests.unit.render.lint.kiosk import FILES, Mistake, with_mistakes
from tests.unit.render.lint.meant import MEANT

FOUND = """\
    - {call: leader, with: {part: replication}, as: found, optional: true}
    - set: {follows: "{{ 'follow ' ~ found if found else '' }}"}
"""


@pytest.mark.parametrize("mistake", [*MEANT, *FRESH], ids=lambda mistake: mistake.said)
def test_what_reads_well_and_cannot_be_meant_is_found_at_its_place(mistake: Mistake) -> None:
    files, places = with_mistakes([mistake])
    found = errors(lint(files))
    assert [(each.file, each.line, each.column) for each in found] == places
    assert mistake.said in str(found[0])


@pytest.mark.parametrize(
    "steps",
    [
        # asked for first
        "- {when: node.first, call: leader, with: {part: x}, as: found}\n"
        "    - set: {follows: \"{{ found if found is defined else '' }}\"}",
        # with another value where it is not there
        "- {when: node.first, call: leader, with: {part: x}, as: found}\n"
        "    - set: {follows: \"{{ found | default('') }}\"}",
        # under the same condition, and under more
        "- {when: node.first, call: leader, with: {part: x}, as: found}\n    - set: {follows: ''}\n"
        '    - {when: node.lead and node.first, set: {follows: "{{ found }}"}}',
        # in both branches
        "- {when: node.first, set: {follows: a}, else: [{set: {follows: b}}]}",
        # the tool has failed where it is not there
        "- {when: not node.first, fail: no}\n    - {when: node.first, set: {follows: a}}",
        "- {when: node.first, set: {follows: a}, else: [{fail: no}]}",
        # in an alternative of one expression
        "- {when: node.first, set: {one: a}}\n    - set: {follows: \"{{ one if node.first else '' }}\"}",
    ],
)
def test_a_name_that_may_be_missing_is_let_pass_where_it_is_there(steps: str) -> None:
    tools = FILES["tools.yaml"].replace(FOUND, f"    {steps}\n")
    assert tools != FILES["tools.yaml"]
    said = [str(each) for each in lint({**FILES, "tools.yaml": tools})]
    assert [each for each in said if "is there only where" in each] == []


def test_a_var_that_asks_for_what_may_be_missing_is_told_with_the_name() -> None:
    tools = FILES["tools.yaml"].replace(
        "- {call: state, as: info}\n    - {when: leads and info.loading, fail",
        "- {when: node.first, call: state, as: info}\n    - {when: leads, fail",
    )
    (found,) = errors(lint({**FILES, "tools.yaml": tools}))
    assert "vars.leads asks for 'info', which is there only where this holds: node.first" in found.message


@pytest.mark.parametrize(
    ("file", "good", "bad"),
    [
        ("tools.yaml", "    result: {role:", "    result: {note: as it is, role:"),  # a sentence of its own
        (
            "kiosk.conf.j2",
            "motto {{ config.motto | quoted }}",
            "{% for v in config.values() %}{{ v | json }}{% endfor %}",
        ),
        ("tools.yaml", "    result: {role:", "    - {run: {argv: [cut, -d, ';', -f, '2', f]}}\n    result: {role:"),
        ("tools.yaml", "    result: {role:", "    - {run: {argv: [psql, -F, '|', -c, x]}}\n    result: {role:"),
        ("tools.yaml", 'result: {follows: "{{ follows }}"}', 'result: {role: primary, follows: "{{ follows }}"}'),
    ],
)
def test_what_may_be_meant_is_no_error(file: str, good: str, bad: str) -> None:
    assert FILES[file] != FILES[file].replace(good, bad)
    assert errors(lint({**FILES, file: FILES[file].replace(good, bad)})) == []


@pytest.mark.parametrize(
    ("bad", "place", "said"),
    [
        ("component: kisok", (1, 1), "no component 'kisok'; did you mean kiosk?"),
        ("component: kiosk\ntopology: pear", (2, 1), "no topology 'pear'; did you mean pair?"),
        ("component: kiosk\nruntimeVersion: '3'", (2, 1), "no runtime version '3'; there are 1, 2"),
        ("component: kiosk\nnode: 3", (2, 1), "kiosk has 2 nodes here, not 3"),
        ("component: kiosk\nconfig: {slot: 1}", (2, 10), "no parameter 'slot'; did you mean slots?"),
    ],
)
def test_a_mistake_in_the_plugins_own_tests_is_found_at_its_line(bad: str, place: tuple[int, int], said: str) -> None:
    text = f"{bad}\ntests: [{{name: a, tool: ready}}]\n"
    (found,) = trial_problems(from_files(FILES), "tests/kiosk.yaml", text)
    assert (found.line, found.column) == place
    assert said in found.message


def test_tools_and_results_that_a_test_names_are_those_of_the_plugin() -> None:
    text = "component: kiosk\ntests:\n- {name: a, tool: raedy}\n- {name: b, tool: getRole, result: {rule: primary}}\n"
    found = trial_problems(from_files(FILES), "tests/kiosk.yaml", text)
    assert [(each.line, each.column, each.message) for each in found] == [
        (3, 13, "the plugin has no tool 'raedy'; did you mean ready?"),
        (4, 37, "the plugin has no result of getRole 'rule'; did you mean role?"),
    ]


def test_a_dynamic_parameter_that_no_tool_hands_to_the_engine_is_a_warning() -> None:
    parameters = FILES["parameters.yaml"].replace("  default: 4\n", "  default: 4\n  apply: dynamic\n")
    (found,) = lint({**FILES, "parameters.yaml": parameters})
    assert found.warns
    assert str(found).startswith(
        "parameters.yaml:4:3: slots.apply: warning: dynamic, but no tool reloadConfig hands it"
    )


def test_all_rounds_of_mistakes_are_told_in_one() -> None:
    """The schema's, those between fields, those in expressions, and what only rendering meets."""
    mistakes = [
        Mistake("plugin.yaml", "    image: kiosk\n", "    image: kiosk\n    «usr: 1000\n", "this field does not exist"),
        Mistake("plugin.yaml", "components: [{name: kiosk}]", "components: [{name: «kiosks}]", "does not define"),
        Mistake("plugin.yaml", 'Version: "2"', 'Version: "«3"', "is not in runtimeVersions"),
        Mistake("plugin.yaml", "secret.password", "secret.«pasword", "which credentials do not name"),
        Mistake("tools.yaml", "fail: it loads", 'fail: "{{ «itm }}"', "nothing is called 'itm' here"),
        Mistake("kiosk.conf.j2", "config.slots", "config.«slot", "did you mean slots?"),
    ]
    files, places = with_mistakes(mistakes)
    found = lint(files)
    assert [(each.file, each.line, each.column) for each in found] == places
    assert [mistake.said for mistake in mistakes if mistake.said not in "\n".join(map(str, found))] == []


def test_what_only_rendering_meets_is_told_beside_mistakes_in_other_files() -> None:
    files, places = with_mistakes(
        [
            Mistake("plugin.yaml", "    image: kiosk\n", "    image: kiosk\n    «usr: 1000\n", ""),
            Mistake("parameters.yaml", "value <= 8", "value <= 3", "the default fails: 4 slots are too many"),
            Mistake("tools.yaml", "fail: it loads", 'fail: "{{ «itm }}"', ""),
        ]
    )
    said = [str(each) for each in lint(files)]
    assert len(said) == len(places) + 1
    assert any("the default fails: 4 slots are too many" in each for each in said)


def test_missing_tools_are_told_beside_mistakes_in_the_same_file() -> None:
    tools = (
        FILES["tools.yaml"].replace("  ready:\n", "  redy:\n").replace("info.role == 'master'", "inf.role == 'master'")
    )
    said = "\n".join(map(str, lint({**FILES, "tools.yaml": tools})))
    assert "tool 'ready' is missing" in said
    assert "nothing is called 'inf' here" in said


def test_a_password_that_nothing_uses_is_a_warning() -> None:
    definition = FILES["plugin.yaml"].replace("[{name: password}]", "[{name: password}, {name: spare}]")
    (found,) = lint({**FILES, "plugin.yaml": definition})
    assert found.warns
    assert "uses the password 'spare'" in found.message
