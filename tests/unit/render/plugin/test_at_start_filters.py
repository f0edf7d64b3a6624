"""Filters and tests of what only the running node knows: the agent applies them, or the author hears why it cannot."""

from __future__ import annotations

import pytest

from render.plugin.at_start import shown
from render.plugin.templates import TemplateFailure, Templates


def rendered(text: str) -> str:
    return shown(Templates("shelf", {"file": text}).render("file", {}))


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("{{ atStart.secret.own | urlencode }}", "{{ atStart.secret.own | urlencode }}"),
        (
            "{{ atStart.secret.own | replace('a', 'b', count=1) }}",
            "{{ atStart.secret.own | replace('a', 'b', count=1) }}",
        ),
        ("{{ atStart.last.role | default(atStart.node.id) }}", "{{ atStart.last.role | default((node.id)) }}"),
        ("{{ [atStart.node.id, 2] | join(',') }}", "{{ atStart.node.id }},2"),
        ("{{ [1, 2] | sum }} {{ 'a b' | urlencode }}", "3 a%20b"),
    ],
)
def test_a_filter_that_agents_have_is_left_to_them(written: str, left: str) -> None:
    assert rendered(written) == left


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{{ atStart.secret.own | title }}", "the agents, which evaluate it, have no filter 'title'"),
        ("{{ ('user:' ~ atStart.secret.own) | quoted }}", "apply it to each part by itself"),
        ("{{ 1 if atStart.secret.own is matching('x') }}", "it can be printed, not decided by"),
        ("{{ 1 if atStart.secret.own is string }}", "it can be printed, not decided by"),
    ],
)
def test_what_cannot_be_left_to_them_is_refused_with_the_reason(written: str, said: str) -> None:
    with pytest.raises(TemplateFailure, match=r"file, line 1: ") as refused:
        rendered(written)
    assert said in str(refused.value)
