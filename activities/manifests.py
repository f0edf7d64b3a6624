"""Which objects an App has, by the step that writes them: the lists of ``render``, and the nodes' Deployments."""

from __future__ import annotations

from render.deployments import (
    POD_HASH,
    TEMPLATE_HASH,
    VERSION_LABEL,
    deployment_manifest,
    digest,
    is_outdated,
    keeps_template,
    version_of,
    without_template,
)
from render.manifests import budget_manifests, record_manifests, service_manifests

__all__ = [
    "POD_HASH",
    "TEMPLATE_HASH",
    "VERSION_LABEL",
    "budget_manifests",
    "deployment_manifest",
    "digest",
    "is_outdated",
    "keeps_template",
    "record_manifests",
    "service_manifests",
    "version_of",
    "without_template",
]
