"""All activities, bound to one platform: what a worker registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from activities.app.wait_ready import Wait
from activities.config.configure import Configure
from activities.config.rotate import Rotate
from activities.config.sync_nodes import SyncNodes
from activities.dependencies import Platform
from activities.look.load import Load
from activities.progress.manual_requests import ManualRequests
from activities.progress.operation_state import Control
from activities.progress.report import Report
from activities.reconcile.adopt_volumes import AdoptVolumes
from activities.reconcile.apply_group import ApplyGroup
from activities.reconcile.delete import Delete
from activities.reconcile.finish import Record
from activities.reconcile.prepare import Prepare
from activities.reconcile.remove_node import RemoveNode
from activities.reconcile.scale import Scale
from activities.roles.failover import Failover
from activities.roles.promote import Promote
from activities.roles.rejoin import Rejoin
from activities.roles.switchover import Switchover
from activities.rollout.clearance import AfterRoll
from activities.rollout.expand_and_roll_back import Upgrade
from activities.rollout.plan_roll import Roll
from activities.rollout.roll_node import Node


def all_activities(platform: Platform) -> list[Callable[..., Any]]:
    load, report, prepare, groups = Load(platform), Report(platform), Prepare(platform), ApplyGroup(platform)
    wait, held, record = Wait(platform), AdoptVolumes(platform), Record(platform)
    delete, requests, control = Delete(platform), ManualRequests(platform), Control(platform)
    roll, node, switchover = Roll(platform), Node(platform), Switchover(platform)
    scale, configure, sync, upgrade = Scale(platform), Configure(platform), SyncNodes(platform), Upgrade(platform)
    removal, rotate = RemoveNode(platform), Rotate(platform)
    failover, promote, readmit = Failover(platform), Promote(platform), Rejoin(platform)
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
        AfterRoll(platform).after_roll,
        switchover.plan_move,
        switchover.switchover,
        failover.plan_failover,
        failover.fence,
        failover.choose,
        promote.promote,
        readmit.readmit,
        scale.plan_scale,
        scale.join_nodes,
        removal.leave_node,
        removal.remove_node,
        removal.forget_node,
        removal.discard_node,
        configure.plan_config,
        configure.configure_node,
        configure.commit_config,
        sync.sync_nodes,
        upgrade.expand_volumes,
        upgrade.roll_back,
        rotate.begin_rotation,
        rotate.give_credentials,
        rotate.keep_both,
        rotate.advance_rotation,
        requests.enqueue,
        requests.await_result,
        requests.cancel_ticket,
    ]
