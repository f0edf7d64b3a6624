"""Versions of plugins and engines are ordered alike."""

from __future__ import annotations

import random

import pytest

from language.versions import version_key
from render.plugin.templates import Templates

ORDER = [
    "6.0", "6.2.1", "7.0-alpha", "7.0-beta.2", "7.0-beta.11", "7.0-rc1", "7.0-rc2", "7.0-rc10", "7.0", "7.0.1",
    "7.0.15", "7.2", "10.0.0-1", "10.0.0-rc", "10.0.0", "10.0.1",
]  # fmt: skip


def test_a_version_before_its_release_is_the_lower_one() -> None:
    shuffled = random.Random(4).sample(ORDER, len(ORDER))
    assert sorted(shuffled, key=version_key) == ORDER


@pytest.mark.parametrize(("one", "other"), [("7.0", "7.0.0"), ("7", "7.0"), ("7.0rc1", "7.0-rc1"), ("7.0+a", "7.0+b")])
def test_what_is_written_otherwise_is_the_same_version(one: str, other: str) -> None:
    assert version_key(one) == version_key(other)


def test_a_template_takes_no_candidate_for_its_release() -> None:
    text = "{% if v is version('>=7.0') %}new{% endif %}"
    assert [Templates("p", {"t": text}).render("t", {"v": v}) for v in ("7.0-rc1", "7.0", "7.0.1-rc1")] == [
        "",
        "new",
        "new",
    ]
