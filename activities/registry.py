"""All activities, bound to one platform: what a worker registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from activities.configure import Configure
from activities.control import Control
from activities.delete import Delete
from activities.failover import Failover
from activities.groups import Groups
from activities.held import Held
from activities.load import Load
from activities.node import Node
from activities.platform import Platform
from activities.prepare import Prepare
from activities.promote import Promote
from activities.readmit import Readmit
from activities.record import Record
from activities.report import Report
from activities.requests import Requests
from activities.roll import Roll
from activities.scale import Scale
from activities.switchover import Switchover
from activities.sync import Sync
from activities.upgrade import Upgrade
from activities.wait import Wait


def all_activities(platform: Platform) -> list[Callable[..., Any]]:
    load, report, prepare, groups = Load(platform), Report(platform), Prepare(platform), Groups(platform)
    wait, held, record = Wait(platform), Held(platform), Record(platform)
    delete, requests, control = Delete(platform), Requests(platform), Control(platform)
    roll, node, switchover = Roll(platform), Node(platform), Switchover(platform)
    scale, configure, sync, upgrade = Scale(platform), Configure(platform), Sync(platform), Upgrade(platform)
    failover, promote, readmit = Failover(platform), Promote(platform), Readmit(platform)
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
        control.begin,
        control.tell_state,
        roll.plan_roll,
        node.roll_node,
        switchover.plan_move,
        switchover.switchover,
        failover.plan_failover,
        failover.fence,
        failover.choose,
        promote.promote,
        readmit.readmit,
        scale.plan_scale,
        scale.join_nodes,
        scale.remove_node,
        scale.forget_node,
        configure.plan_config,
        configure.configure_node,
        configure.commit_config,
        sync.sync_nodes,
        upgrade.expand_volumes,
        upgrade.roll_back,
        requests.enqueue,
        requests.await_result,
        requests.cancel_ticket,
    ]
