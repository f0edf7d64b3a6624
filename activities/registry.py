"""All activities, bound to one platform: what a worker registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from activities.delete import Delete
from activities.groups import Groups
from activities.held import Held
from activities.load import Load
from activities.platform import Platform
from activities.prepare import Prepare
from activities.record import Record
from activities.report import Report
from activities.requests import Requests
from activities.wait import Wait


def all_activities(platform: Platform) -> list[Callable[..., Any]]:
    load, report, prepare, groups = Load(platform), Report(platform), Prepare(platform), Groups(platform)
    wait, held, record = Wait(platform), Held(platform), Record(platform)
    delete, requests = Delete(platform), Requests(platform)
    return [
        load.load,
        report.report,
        prepare.prepare,
        prepare.services,
        groups.apply_group,
        wait.wait_ready,
        held.survey_volumes,
        held.start_held,
        record.record,
        record.finish,
        delete.plan_deletion,
        delete.delete_component,
        delete.delete_leftovers,
        requests.enqueue,
        requests.await_result,
        requests.cancel_ticket,
    ]
