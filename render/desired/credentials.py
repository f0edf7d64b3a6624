"""How far the change of an App's passwords has come, as its Secret says it, and the next step there or back. Pure.

Of each credential ``NAME`` the Secret holds what people read and write (``NAME``), and what the engines were given and
everybody logs in with (``NAME.used``). An edit of ``NAME`` closes nothing: it is what a rotation is to bring about.
While one runs a second password is valid: ``NAME.next``, or after the switch ``NAME.former``. Which stage it is in
stands in ``.rotation``, with a number that grows with each step, by which the agents tell one mount from the next::

    done ─▶ accept ─▶ use ─▶ retire ─▶ done
               │        └▶ return ─┐
               └───────────────────┴▶ withdraw ─▶ done

``accept``: the engines learn the next one. ``use``: it is what everybody logs in with, and what people read.
``retire``: the former one is refused. ``return`` and ``withdraw`` are the same on the way back. All of it is in the
Secret, so whoever goes on after a death knows where.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

USED, NEXT, FORMER = ".used", ".next", ".former"
"""As in ``agent.tooling.secrets``. No credential's own name has a dot."""
ROTATION = ".rotation"
"""Key of ``<stage> <number>``; the agents read it too."""
TAKING_PART = ".rotating"
"""Key of the credentials that there were as the rotation began, by name. Another version of the plugin may have more by
now: of those nothing is half changed."""

_DIGITS = 9
"""Of the longest number that is read at all."""

Texts = Mapping[str, str]
"""What a Secret holds, decoded, by key."""
Changes = dict[str, str | None]
"""What to write, by key; None: the key goes."""


class Stage(StrEnum):
    """Where a change of passwords stands."""

    DONE = "done"
    ACCEPT = "accept"
    USE = "use"
    RETIRE = "retire"
    RETURN = "return"
    WITHDRAW = "withdraw"


BACKWARDS = frozenset({Stage.RETURN, Stage.WITHDRAW})


def texts_of(secret: Mapping[str, Any] | None) -> dict[str, str]:
    """As the agents read them: without the last line break that editors leave. What is no text is left out."""
    found = {}
    for key, value in ((secret or {}).get("data") or {}).items():
        try:
            found[str(key)] = base64.b64decode(value).decode().rstrip("\r\n")
        except ValueError:
            continue
    return found


def data_of(changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """As the part ``data`` of a merge patch."""
    return {key: None if text is None else base64.b64encode(text.encode()).decode() for key, text in changes.items()}


def revision_of(texts: Texts) -> str:
    """What the agents must have mounted to know of all this; empty before the first rotation."""
    return texts.get(ROTATION, "")


def stage_of(texts: Texts) -> Stage:
    """DONE also for a word that nobody of the platform has written."""
    word = revision_of(texts).partition(" ")[0]
    return Stage(word) if word in set(Stage) else Stage.DONE


def edited(texts: Texts, names: Iterable[str]) -> list[str]:
    """Credentials to which somebody has given another password than the one in use."""
    return [name for name in names if texts.get(name) and texts.get(f"{name}{USED}", texts[name]) != texts[name]]


def unreadable(secret: Mapping[str, Any] | None, names: Iterable[str]) -> list[str]:
    """Credentials to which somebody has given what is no text, so that it can never be in use."""
    data, texts = (secret or {}).get("data") or {}, texts_of(secret)
    return [name for name in names if data.get(name) and name not in texts and f"{name}{USED}" in texts]


def unnoted(texts: Texts, names: Iterable[str]) -> list[str]:
    """Credentials of which nobody knows any more what is in use, while passwords are half changed: a beginning has
    noted all that there were."""
    if stage_of(texts) is Stage.DONE:
        return []
    began = texts.get(TAKING_PART, "").split()
    return [name for name in names if f"{name}{USED}" not in texts and (name in began or not began)]


def begun(texts: Texts, names: Iterable[str], generated: Texts) -> Changes:
    """DONE → ACCEPT: somebody's own password is the next one, else what was ``generated``; empty where there is
    neither, or a rotation has begun already."""
    names = list(names)
    if stage_of(texts) is not Stage.DONE:
        return {}
    following = {name: texts[name] for name in edited(texts, names)} or {
        name: generated[name] for name in names if name in generated
    }
    if not following:
        return {}
    changes: Changes = {f"{name}{NEXT}": text for name, text in following.items()}
    changes |= {f"{name}{USED}": texts[name] for name in names if f"{name}{USED}" not in texts and texts.get(name)}
    return changes | {TAKING_PART: " ".join(names)} | _to(Stage.ACCEPT, texts)


def advanced(texts: Texts, names: Iterable[str]) -> Changes:
    """One step on, in the direction in which it goes; empty where none runs."""
    stage = stage_of(texts)
    if stage is Stage.ACCEPT:
        changes: Changes = {}
        for name in names:
            used, following = texts.get(f"{name}{USED}"), texts.get(f"{name}{NEXT}")
            if used is None or following is None:
                continue
            changes |= {f"{name}{USED}": following, f"{name}{FORMER}": used, f"{name}{NEXT}": None}
            changes |= _published(texts, name, following, (used, following))
        return changes | _to(Stage.USE, texts)
    if stage in (Stage.USE, Stage.RETURN):
        gone: Changes = {f"{name}{FORMER}": None for name in names if f"{name}{FORMER}" in texts}
        return gone | _to(Stage.RETIRE if stage is Stage.USE else Stage.WITHDRAW, texts)
    if stage is Stage.DONE:
        return {}
    # Whatever there is of it, also of a credential that the plugin does not have any more.
    left: Changes = {key: None for key in texts if key.endswith((NEXT, FORMER)) or key == TAKING_PART}
    return left | {f"{name}{ending}": None for name in names for ending in (NEXT, FORMER)} | _to(Stage.DONE, texts)


def turned_back(texts: Texts, names: Iterable[str]) -> Changes:
    """The first step of the way back; empty where it is too late for that, or it goes back already."""
    stage = stage_of(texts)
    changes: Changes = {}
    for name in names:
        used, following, former = (texts.get(f"{name}{ending}") for ending in (USED, NEXT, FORMER))
        if stage is Stage.ACCEPT and used is not None and following is not None:
            changes |= {f"{name}{NEXT}": None, **_published(texts, name, used, (following,))}
        if stage is Stage.USE and used is not None and former is not None:
            changes |= {f"{name}{USED}": former, f"{name}{FORMER}": used}
            changes |= _published(texts, name, former, (used,))
    if stage is Stage.ACCEPT:
        return changes | _to(Stage.WITHDRAW, texts)
    return changes | _to(Stage.RETURN, texts) if stage is Stage.USE else {}


def _published(texts: Texts, name: str, text: str, over: Iterable[str]) -> Changes:
    """Where somebody has written a third one meanwhile, it stays: the next rotation is about it."""
    return {name: text} if texts.get(name, text) in over else {}


def _to(stage: Stage, texts: Texts) -> Changes:
    """The number begins again after what nobody of the platform has written; the stage is another one anyway."""
    number = number_of(revision_of(texts).partition(" ")[2])
    return {ROTATION: f"{stage} {1 if number is None else number + 1}"}


def number_of(word: str) -> int | None:
    """None for what the platform cannot have written."""
    return int(word) if word.isascii() and word.isdecimal() and len(word) <= _DIGITS else None
