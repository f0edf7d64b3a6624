"""All workflows: what a worker registers."""

from __future__ import annotations

from workflows.app import AppWorkflow
from workflows.component import ComponentWorkflow
from workflows.delete import DeleteWorkflow
from workflows.deploy import DeployWorkflow
from workflows.group import GroupWorkflow
from workflows.repair import RepairWorkflow

ALL_WORKFLOWS: list[type] = [
    AppWorkflow,
    DeployWorkflow,
    RepairWorkflow,
    DeleteWorkflow,
    ComponentWorkflow,
    GroupWorkflow,
]
