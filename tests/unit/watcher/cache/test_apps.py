"""A workflow is woken by what a person did, never by what the platform itself wrote."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from api.names import FINALIZER
from api.operations import Notice, NoticeKind
from clients.shared_watch import Change, WatchEvent
from tests.unit.watcher.support.objects import Manifest, app
from watcher.cache.apps import notice_for
from watcher.notify.notifier import combined


def changed(change: Callable[[Manifest], object], before: Manifest | None = None) -> Notice | None:
    before = before or app(phase="Running", observedGeneration=1)
    after = copy.deepcopy(before)
    change(after)
    return notice_for(WatchEvent(Change.MODIFIED, after, before))


def test_a_new_app_and_one_that_an_earlier_watcher_had_seen() -> None:
    new = notice_for(WatchEvent(Change.ADDED, app(), None))
    assert new is not None
    assert new.kind == NoticeKind.SPEC
    known = notice_for(WatchEvent(Change.ADDED, app(observedGeneration=1), None))
    assert known is not None
    assert known.kind == NoticeKind.RESYNC


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a["metadata"].update(generation=2),
        lambda a: a["metadata"].update(deletionTimestamp="2025-01-01T00:00:00Z"),
        lambda a: a["metadata"].update(annotations={"middleware.io/anything": "1"}),
    ],
)
def test_what_a_person_does_is_told(change: Callable[[Manifest], object]) -> None:
    notice = changed(change)
    assert notice is not None
    assert notice.kind == NoticeKind.SPEC


def test_a_finalizer_that_somebody_takes_off_is_told_unless_the_app_is_deleted() -> None:
    """Without it a deletion would go past the platform."""
    held, free = app(), app()
    held["metadata"]["finalizers"] = [FINALIZER, "another/one"]
    free["metadata"]["finalizers"] = ["another/one"]
    notice = notice_for(WatchEvent(Change.MODIFIED, free, held))
    assert notice is not None
    assert notice.kind == NoticeKind.DRIFT
    for each in (held, free):
        each["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert notice_for(WatchEvent(Change.MODIFIED, free, held)) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a["status"].update(phase="Waiting"),
        lambda a: a["metadata"].update(finalizers=["middleware.io/finalizer"]),
        lambda a: a["metadata"].update(annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}"}),
        lambda a: a["metadata"].update(resourceVersion="999"),
    ],
)
def test_what_the_platform_writes_is_not(change: Callable[[Manifest], object]) -> None:
    assert changed(change) is None


def test_the_end_of_a_deletion_wakes_nobody_but_a_vanished_app_does() -> None:
    gone = app()
    gone["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert notice_for(WatchEvent(Change.DELETED, gone, gone)) is None
    assert notice_for(WatchEvent(Change.DELETED, app(), app())) is not None


def test_another_app_of_the_same_name_is_new() -> None:
    before, after = app(), app()
    after["metadata"]["uid"] = "another"
    notice = notice_for(WatchEvent(Change.MODIFIED, after, before))
    assert notice is not None
    assert notice.kind == NoticeKind.SPEC


def test_notices_are_combined_to_the_stronger_one_with_bounded_detail() -> None:
    result = combined(Notice(NoticeKind.DRIFT, "Service a was deleted"), Notice(NoticeKind.SPEC, "generation 3"))
    assert result == Notice(NoticeKind.SPEC, "Service a was deleted; generation 3")
    assert combined(result, Notice(NoticeKind.DRIFT, "generation 3")) == result
    for number in range(100):
        result = combined(result, Notice(NoticeKind.DRIFT, f"Service {number} was deleted"))
    assert result.detail.count(";") == 9
    assert result.detail.endswith("and more")
