"""All workflows: what a worker registers."""

from __future__ import annotations

from workflows.entity.app import AppWorkflow
from workflows.operations.delete import DeleteWorkflow
from workflows.operations.deploy import DeployWorkflow
from workflows.operations.failover import FailoverWorkflow
from workflows.operations.reconfigure import ReconfigureWorkflow
from workflows.operations.repair import RepairWorkflow
from workflows.operations.rolling import ResizeWorkflow, RestartWorkflow, UpgradeWorkflow
from workflows.operations.rotate_credentials import RotateCredentialsWorkflow
from workflows.operations.scale import ScaleWorkflow
from workflows.operations.shared.component import ComponentWorkflow
from workflows.operations.shared.group import GroupWorkflow
from workflows.operations.switchover import SwitchoverWorkflow
from workflows.operations.upgrade_plugin import UpgradePluginWorkflow

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
    RotateCredentialsWorkflow,
    ComponentWorkflow,
    GroupWorkflow,
]
