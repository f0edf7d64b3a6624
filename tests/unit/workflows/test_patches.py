"""Patches of workflows have an end: their ids say with which release, and nobody forgets it; see docs/versioning.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from deploy.images.catalog import REPOSITORY, platform_version

_ID = re.compile(r"'(until-(\d+)\.(\d+)\.0/[a-z][a-z-]*)'")


def faults(source: str, version: str) -> list[str]:
    """What is wrong with the patches in a module's source, in a platform of this version."""
    now = tuple(map(int, version.split(".")[:2]))
    found = []
    for node in ast.walk(ast.parse(source)):
        call = ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) else ""
        if not isinstance(node, ast.Call) or call not in ("patched", "deprecate_patch"):
            continue
        match = _ID.fullmatch(ast.unparse(node.args[0]) if node.args else "")
        if match is None:
            found.append(f"line {node.lineno}: write the id out, as until-0.4.0/what-changed")
            continue
        name, until = match[1], (int(match[2]), int(match[3]))
        if call == "patched" and now >= until:
            found.append(f"line {node.lineno}: {name} is overdue: only deprecate_patch is left of it")
        if call == "deprecate_patch" and now > until:
            found.append(f"line {node.lineno}: {name} is overdue: nothing is left of it")
        if call == "deprecate_patch" and now < until:
            found.append(f"line {node.lineno}: {name} is deprecated too early: it is patched until then")
    return found


@pytest.mark.parametrize("path", sorted((REPOSITORY / "workflows").rglob("*.py")), ids=lambda path: path.name)
def test_no_patch_is_overdue(path: Path) -> None:
    assert not faults(path.read_text(encoding="utf-8"), platform_version())


@pytest.mark.parametrize(
    ("call", "version", "fault"),
    [
        ('workflow.patched("until-0.4.0/fence-first")', "0.3.0", ""),
        ('workflow.patched("until-0.4.0/fence-first")', "0.3.7", ""),
        ('workflow.patched("until-0.4.0/fence-first")', "0.4.0", "overdue"),
        ('patched("until-0.4.0/fence-first")', "1.0.0", "overdue"),
        ('workflow.deprecate_patch("until-0.4.0/fence-first")', "0.3.0", "too early"),
        ('workflow.deprecate_patch("until-0.4.0/fence-first")', "0.4.1", ""),
        ('workflow.deprecate_patch("until-0.4.0/fence-first")', "0.5.0", "overdue"),
        ('workflow.patched("fence-first")', "0.3.0", "write the id out"),
        ('workflow.patched(f"until-0.4.0/{what}")', "0.3.0", "write the id out"),
        ("workflow.patched(id=FENCE_FIRST)", "0.3.0", "write the id out"),
        ("workflow.now()", "0.3.0", ""),
    ],
)
def test_a_patch_lives_for_two_releases(call: str, version: str, fault: str) -> None:
    assert ["line 1" in each and fault in each for each in faults(call, version)] == [True] * bool(fault)
