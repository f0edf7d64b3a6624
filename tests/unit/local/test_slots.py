"""Slots: stable, distinct, remembered, and free again when their instance is gone."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import pytest

from deploy.local import slots
from deploy.local.errors import LocalError
from deploy.local.slots import Addresses


def claim(tmp_path: Path, name: str) -> int:
    return slots.claim(tmp_path / "slots", name, tmp_path / name / "instance.json")


def test_addresses_of_the_first_slot() -> None:
    first = Addresses(0)
    assert str(first.pod_range) == "198.18.0.0/20"
    assert str(first.bridge_range) == "198.18.0.0/21"
    assert str(first.service_range) == "198.19.0.0/20"
    assert (str(first.host), str(first.node)) == ("198.18.15.253", "198.18.15.254")
    assert (str(first.api_service), str(first.dns_service)) == ("198.19.0.1", "198.19.0.10")


def test_slots_do_not_overlap_and_the_link_is_not_on_the_bridge() -> None:
    ranges = [
        network for slot in range(slots.COUNT) for network in (Addresses(slot).pod_range, Addresses(slot).service_range)
    ]
    assert not any(one.overlaps(other) for one, other in combinations(ranges, 2))
    for slot in range(slots.COUNT):
        addresses = Addresses(slot)
        assert addresses.link.subnet_of(addresses.pod_range)
        assert not addresses.link.overlaps(addresses.bridge_range)


def test_a_slot_is_remembered_and_the_next_instance_gets_the_next(tmp_path: Path) -> None:
    assert claim(tmp_path, "one") == 0
    assert claim(tmp_path, "two") == 1
    assert claim(tmp_path, "one") == 0


def test_a_slot_is_free_after_release_or_after_its_state_was_deleted_by_hand(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        claim(tmp_path, name)
    slots.release(tmp_path / "slots", 0)
    shutil.rmtree(tmp_path / "one")
    shutil.rmtree(tmp_path / "two")
    assert claim(tmp_path, "four") == 0
    assert claim(tmp_path, "five") == 1


def test_all_slots_taken_names_who_has_them(tmp_path: Path) -> None:
    for number in range(slots.COUNT):
        claim(tmp_path, f"instance-{number}")
    with pytest.raises(LocalError, match="instance-7"):
        claim(tmp_path, "one-more")


def test_a_copied_state_directory_is_refused(tmp_path: Path) -> None:
    claim(tmp_path, "one")
    copy = shutil.copytree(tmp_path / "one", tmp_path / "copy")
    with pytest.raises(LocalError, match="also claimed by"):
        slots.claim(tmp_path / "slots", "one", copy / "instance.json")


def test_the_state_directory_of_another_instance_is_refused(tmp_path: Path) -> None:
    claim(tmp_path, "one")
    with pytest.raises(LocalError, match="of instance one, not of two"):
        slots.claim(tmp_path / "slots", "two", tmp_path / "one" / "instance.json")


def test_a_damaged_record_says_what_to_do(tmp_path: Path) -> None:
    record = tmp_path / "instance.json"
    record.write_text("{")
    with pytest.raises(LocalError, match="PURGE=1"):
        slots.recorded_slot(record)
