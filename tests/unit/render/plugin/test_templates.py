"""The sandbox: no way out, no way to spend a machine's memory or time."""

from __future__ import annotations

import pytest

from render.plugin.templates import TemplateFailure, Templates


def render(text: str, **context: object) -> str:
    return Templates("p 1.0.0", {"t": text, "part": "{{ a }}\n{{ b }}\n"}).render("t", context)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ render.__globals__ }}",
        "{{ values.append(1) }}",
        "{% for i in range(1000000) %}x{% endfor %}",
        "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 999999999 }}",
        "{{ [0] * 999999999 }}",
        "{{ 10 ** 999999 }}",
        "{% for i in range(90000) %}{{ 'x' * 100 }}{% endfor %}",
        "{% include 'absent' %}",
        "{{ missing }}",
    ],
)
def test_it_is_refused(text: str) -> None:
    with pytest.raises(TemplateFailure):
        render(text, values=[1])


def test_an_error_in_an_included_file_names_that_file() -> None:
    with pytest.raises(TemplateFailure) as failure:
        render("one\n{% include 'part' %}", a=1)
    assert (failure.value.file, failure.value.line) == ("part", 2)
    assert "'b' is undefined" in str(failure.value)


def test_versions_and_switches() -> None:
    assert render("{{ true | yesno }} {{ false | yesno }} {{ 3 | yesno }}") == "yes no 3"
    assert render("{% if v is version('>=7.0') %}new{% endif %}", v="10.2") == "new"
    assert render("{% if v is version('>=7.0') %}new{% endif %}", v="6.2.1") == ""
