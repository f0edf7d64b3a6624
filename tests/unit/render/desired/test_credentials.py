"""A change of passwords ends where it was to go, from wherever it goes on, and an abort where it began."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from render.desired.credentials import (
    Changes,
    Stage,
    advanced,
    begun,
    edited,
    revision_of,
    stage_of,
    texts_of,
    turned_back,
    unnoted,
)

NAMES = ["password", "admin"]
STEADY = {f"{name}{ending}": f"old-{name}" for name in NAMES for ending in ("", ".used")}


def after(texts: dict[str, str], changes: Changes) -> dict[str, str]:
    merged = {**texts, **changes}
    return {key: text for key, text in merged.items() if text is not None}


def told(texts: dict[str, str]) -> dict[str, str]:
    return {key: text for key, text in texts.items() if not key.startswith(".")}


def valid(texts: dict[str, str], name: str) -> set[str]:
    """What an engine lets in that starts now."""
    return {texts[key] for key in (f"{name}.used", f"{name}.next", f"{name}.former") if key in texts}


def made(*names: str) -> dict[str, str]:
    return {name: f"new-{name}" for name in names}


@given(st.integers(0, 5))
def test_to_the_new_password_and_back_to_the_old_one(turn: int) -> None:
    """Whoever starts between two stages is let in by those that have heard of the next, and of the one before."""
    texts = after(STEADY, begun(STEADY, NAMES, made(*NAMES)))
    steps, revisions = 0, [revision_of(texts)]
    while stage_of(texts) is not Stage.DONE:
        changes = turned_back(texts, NAMES) if steps == turn else {}
        following = after(texts, changes or advanced(texts, NAMES))
        for name in NAMES:
            assert following[f"{name}.used"] in valid(texts, name), "used is known to everybody before it is used"
            assert following[name] in valid(following, name), "what people read opens the engines"
        texts, steps = following, steps + 1
        revisions.append(revision_of(texts))
    assert len(set(revisions)) == len(revisions), "by the revision an agent tells one mount from the next"
    goes_back = turn in (0, 1)
    wanted = STEADY if goes_back else {key: text.replace("old", "new") for key, text in STEADY.items()}
    assert told(texts) == wanted


def test_an_edit_is_the_next_password_and_others_stay() -> None:
    texts = {**STEADY, "admin": "own"}
    assert edited(texts, NAMES) == ["admin"]
    texts = after(texts, begun(texts, NAMES, made(*NAMES)))
    assert (texts["admin.next"], "password.next" in texts) == ("own", False)
    for _ in range(3):
        texts = after(texts, advanced(texts, NAMES))
    assert told(texts) == {**STEADY, "admin": "own", "admin.used": "own"}


def test_an_abort_of_an_edit_puts_the_former_password_back_where_people_read_it() -> None:
    texts = {**STEADY, "admin": "own"}
    texts = after(texts, begun(texts, NAMES, {}))
    for change in (turned_back, advanced):
        texts = after(texts, change(texts, NAMES))
    assert told(texts) == STEADY


def test_who_writes_another_one_meanwhile_is_heard_afterwards() -> None:
    texts = after(STEADY, begun(STEADY, NAMES, made("password")))
    texts["password"] = "third"
    for _ in range(3):
        texts = after(texts, advanced(texts, NAMES))
    assert (texts["password.used"], edited(texts, NAMES)) == ("new-password", ["password"])


def test_nothing_begins_where_nothing_is_to_change_or_it_has_begun() -> None:
    assert begun(STEADY, NAMES, {}) == {}
    texts = after(STEADY, begun(STEADY, NAMES, made(*NAMES)))
    assert begun(texts, NAMES, {"password": "yet another"}) == {}
    assert advanced(STEADY, NAMES) == turned_back(STEADY, NAMES) == {}


def test_what_is_in_use_is_noted_where_nobody_has() -> None:
    texts = {"password": "old"}
    assert edited(texts, ["password"]) == []
    changes = begun(texts, ["password"], made("password"))
    assert (changes["password.used"], changes["password.next"]) == ("old", "new-password")


def test_it_is_too_late_once_the_former_one_is_being_retired() -> None:
    texts = after(STEADY, begun(STEADY, NAMES, made(*NAMES)))
    for _ in range(2):
        texts = after(texts, advanced(texts, NAMES))
    assert stage_of(texts) is Stage.RETIRE
    assert turned_back(texts, NAMES) == {}


def test_a_line_break_that_an_editor_leaves_is_no_edit() -> None:
    data = {"password": "old\n", "password.used": "old", "junk": ""}
    secret = {"data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}}
    secret["data"]["bytes"] = base64.b64encode(b"\xff").decode()
    assert edited(texts_of(secret), ["password"]) == []
    assert "bytes" not in texts_of(secret)
    assert stage_of({".rotation": "nonsense"}) is Stage.DONE


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 10, "x", "", "٣", "-1"])
def test_a_foreign_number_of_a_stage_stops_nothing(number: str) -> None:
    texts = after(STEADY, begun(STEADY, NAMES, made(*NAMES)))
    changes = advanced({**texts, ".rotation": f"accept {number}"}, NAMES)
    assert changes[".rotation"] == "use 1"


@pytest.mark.parametrize("stage", ["retire", "withdraw"])
def test_nothing_of_a_rotation_is_left_at_its_end(stage: str) -> None:
    left = {"password.next": "a", "password.former": "b", "earlier.next": "of a credential that the plugin had"}
    texts = {**STEADY, **left, ".rotation": f"{stage} 3"}
    assert told(after(texts, advanced(texts, NAMES))) == STEADY


def test_what_is_in_use_is_missed_only_while_it_is_changed() -> None:
    texts = {"password": "old", "admin": "old", "admin.used": "old"}
    assert unnoted(texts, NAMES) == []
    assert unnoted({**texts, ".rotation": "done 4"}, NAMES) == []
    assert unnoted({**texts, ".rotation": "accept 1"}, NAMES) == ["password"]
