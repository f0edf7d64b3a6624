"""A template comes to an end, whatever its author has written: loops, macros, includes, searches and texts count."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from language.expressions import ExpressionError, expression
from render.plugin.templates import TemplateFailure, Templates

MACRO = "{% macro more(n) %}{% if n %}{{ more(n - 1) }}{{ more(n - 1) }}{% endif %}{% endmacro %}{{ more(40) }}"
NODES = [{"name": str(number)} for number in range(300)]


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in nodes %}{% for b in nodes %}{% for c in nodes %}{% endfor %}{% endfor %}{% endfor %}",
        MACRO,
        "{% set n = n - 1 %}{% if n %}{% include 'file' %}{% include 'file' %}{% endif %}",
        "{% for a in nodes recursive %}{{ loop(nodes) if loop.depth < 5 }}{% endfor %}",
        "{{ range(90000) | select('in', many) | list | length }}",
        "{% for a in nodes %}{% for b in nodes %}{{ 'x' if -1 in many }}{% endfor %}{% endfor %}",
        "{{ range(50000) | map('string') | map('replace', '1', long) | list | length }}",
    ],
)
def test_a_template_that_would_not_end_says_so_soon(text: str) -> None:
    began = time.monotonic()
    context = {"nodes": NODES, "many": list(range(90_000, 99_000)) * 10, "long": "x" * 100_000, "n": 60}
    with pytest.raises(TemplateFailure, match=r"it takes more than 1000000 turns of loops and calls"):
        Templates("shelf", {"file": text}).render("file", context)
    assert time.monotonic() - began < 60


def test_what_plugins_write_is_far_from_the_bound() -> None:
    text = "{% for a in nodes if a.name in many %}{% for b in nodes %}{{ loop.index }} {% endfor %}{% endfor %}"
    given = Templates("shelf", {"file": text}).render("file", {"nodes": NODES, "many": ["1", "2", "3"]})
    assert given == "".join(f"{number} " for number in range(1, 301)) * 3


class _Vars:
    """Each var asks for the one before it twice."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def __contains__(self, name: object) -> bool:
        return str(name) in self.values or str(name).startswith("v")

    def get(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        before = f"v{int(name[1:]) - 1}"
        return expression(f"{before} | select('in', many) | list")(self)


def test_vars_that_ask_for_others_share_one_bound_with_the_expression() -> None:
    many = list(range(20_000))
    with pytest.raises(ExpressionError, match=r"it takes more than 1000000 turns"):
        expression("v5")(_Vars({"v0": list(range(-500, 0)) + many[:500], "many": many}))
