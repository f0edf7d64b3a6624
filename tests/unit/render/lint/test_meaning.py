"""Lint also finds what reads well and cannot be meant; what may be meant it lets pass."""

from __future__ import annotations

import pytest

from render.lint.meaning.trials import trial_problems
from render.lint.plugin import errors, lint
from render.plugin.bundle import from_files
from tests.unit.render.lint.kiosk import FILES, Mistake, with_mistakes
from tests.unit.render.lint.meant import MEANT

FOUND = """\
    - {call: leader, with: {part: replication}, as: found, optional: true}
    - set: {follows: "{{ 'follow ' ~ found if found else '' }}"}
"""


@pytest.mark.parametrize("mistake", MEANT, ids=lambda mistake: mistake.said)
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
