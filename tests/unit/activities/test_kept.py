"""Volumes that an earlier App of the name left: which nodes are held, and whose data is believed."""

from __future__ import annotations

from typing import Any

from activities.held import newest
from activities.kept import NOT_YET, of_this_app
from proto.agent_pb2 import VolumeRecord


def claim(uid: str | None) -> dict[str, Any]:
    return {"metadata": {"annotations": {"middleware.io/app-uid": uid} if uid else {}}}


def test_a_claim_belongs_to_the_app_whose_uid_it_carries() -> None:
    assert of_this_app(claim("u"), "u")
    assert not of_this_app(claim("earlier"), "u")
    assert not of_this_app(claim(NOT_YET), "u")
    assert not of_this_app(claim(None), "u")


def test_who_was_writable_last_wins_over_who_was_seen_last() -> None:
    records = {
        "a": VolumeRecord(present=True, last_writable=10, last_seen=10, position=1),
        "b": VolumeRecord(present=True, last_writable=0, last_seen=99, position=9),
    }
    assert newest(records) == "a"


def test_without_a_writable_one_the_last_seen_then_the_position_decides() -> None:
    records = {
        "a": VolumeRecord(present=True, last_seen=5, position=1),
        "b": VolumeRecord(present=True, last_seen=5, position=2),
        "c": VolumeRecord(present=True, last_seen=4, position=9),
    }
    assert newest(records) == "b"


def test_an_empty_volume_is_never_chosen() -> None:
    assert newest({"a": VolumeRecord(), "b": VolumeRecord(present=True)}) == "b"
    assert newest({"a": VolumeRecord()}) == ""
