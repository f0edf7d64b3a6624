"""All workflows: what a worker registers."""

from __future__ import annotations

from workflows.app import AppWorkflow
from workflows.component import ComponentWorkflow
from workflows.delete import DeleteWorkflow
from workflows.deploy import DeployWorkflow
from workflows.failover import FailoverWorkflow
from workflows.group import GroupWorkflow
from workflows.reconfigure import ReconfigureWorkflow
from workflows.repair import RepairWorkflow
from workflows.rolling import ResizeWorkflow, RestartWorkflow, UpgradeWorkflow
from workflows.scale import ScaleWorkflow
from workflows.switchover import SwitchoverWorkflow
from workflows.upgrade_plugin import UpgradePluginWorkflow

ALL_WORKFLOWS: list[type] = [
    AppWorkflow,
    DeployWorkflow,
    RepairWorkflow,
    DeleteWorkflow,
    UpgradePluginWorkflow,
    ScaleWorkflow,
    UpgradeWorkflow,
    ResizeWorkflow,
    ReconfigureWorkflow,
    RestartWorkflow,
    SwitchoverWorkflow,
    FailoverWorkflow,
    ComponentWorkflow,
    GroupWorkflow,
]
