"""Whether an App's passwords are to be changed by what its Secret says, and whether its plugin can. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.names import credentials_name
from api.operations import OperationType
from api.tools import Tool, ToolName
from render.desired.app import DesiredApp
from render.desired.credentials import USED, Stage, edited, stage_of, texts_of, unreadable
from render.desired.spec_parts import Part

BOTH = (ToolName.ACCEPT_CREDENTIALS, ToolName.RETIRE_CREDENTIALS)


@dataclass(frozen=True)
class Rotation:
    """``part``: the operation that is due. ``refusal``: why what somebody wrote is not carried out; a sentence."""

    part: Part | None = None
    refusal: str = ""


def names_of(desired: DesiredApp) -> list[str]:
    return [credential.name for credential in desired.credentials]


def unrotatable(desired: DesiredApp, tools: Mapping[str, Mapping[str, Tool]]) -> str:
    """Why the passwords of engines that run cannot be changed, a sentence; empty where they can. ``tools``: of a node
    of each component."""
    plugin = f"plugin {desired.bundle.name} {desired.bundle.version}"
    if not desired.credentials:
        return f"{plugin} has no credentials"
    if not any(ToolName.USE_CREDENTIALS in each or set(BOTH) <= set(each) for each in tools.values()):
        return f"{plugin} has no tool {ToolName.USE_CREDENTIALS}, so it cannot change the passwords of engines that run"
    return ""


def rotation_due(
    desired: DesiredApp,
    secret: Mapping[str, Any] | None,
    tools: Mapping[str, Mapping[str, Tool]],
    problems: list[str],
) -> Rotation:
    """``problems``: what is wrong with the passwords that people wrote."""
    texts, name = texts_of(secret), credentials_name(desired.name)
    stage = stage_of(texts)
    if stage is not Stage.DONE:
        return Rotation(Part(OperationType.ROTATE_CREDENTIALS, f"the passwords are half changed (stage {stage})"))
    changed = _changed(desired, secret)
    if not changed:
        return Rotation()
    which = ", ".join(changed)
    why = "; ".join(problems) or unrotatable(desired, tools)
    if why:
        used = ", ".join(f"{each}{USED}" for each in changed)
        said = f"{which} in Secret {name} is not brought about: {why}; the engines go on with what {used} holds"
        return Rotation(refusal=said)
    return Rotation(Part(OperationType.ROTATE_CREDENTIALS, f"{which} in Secret {name} was changed"))


def is_due(desired: DesiredApp, secret: Mapping[str, Any] | None) -> bool:
    """Whether anything has to be asked at all: ``rotation_due`` needs what is dear to find out."""
    return stage_of(texts_of(secret)) is not Stage.DONE or bool(_changed(desired, secret))


def _changed(desired: DesiredApp, secret: Mapping[str, Any] | None) -> list[str]:
    """Also to what no engine can be given: that is refused, with its reason."""
    names = names_of(desired)
    found = {*edited(texts_of(secret), names), *unreadable(secret, names)}
    return [name for name in names if name in found]
