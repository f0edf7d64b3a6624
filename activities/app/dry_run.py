"""Whether the API server would take an App's Pods: asked before anything of the App is touched.

A slip in an affinity or a toleration, an amount that a LimitRange does not admit, a limit that a quota asks for: each
is found only when a Pod is made, which is when the first node of a running App is down already. So one Pod of each
group is created as a dry run (admission included, nothing stored), with field validation: ``nodeAfinity`` is an error,
not an unknown field to be dropped.

A refusal must be the App's own fault, or it would stop Apps for what their authors cannot change. So what fails is
tried again without what the App writes, and where a node runs, as it runs: if that fails as well, nothing is said.
Nothing is said either of a new group for which a quota has no room: the Pods of an App that was just deleted may still
hold it, so its Deploy begins, and waits. A namespace that is just being made has no service account yet, and admits
nothing for a moment.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from activities.cluster.gather import together
from activities.dependencies import Platform
from api.app import App
from api.group import GroupSpec
from clients.errors import ForbiddenError, InvalidError, KubernetesError, UnavailableError
from clients.resources import Manifest
from render.desired.app import DesiredApp, DesiredComponent, DesiredGroup, RecordedState
from render.desired.spec_parts import POD_FIELDS
from render.manifests.deployments import digest
from render.manifests.pod import node_pod
from render.plugin.problems import Problem
from render.validation.pod_refusals import Forbidden, forbidden_pod, refused_pod, why_forbidden
from render.validation.transitions import group_path

log = logging.getLogger(__name__)
_REMEMBERED = 2_000
_ADMITTED_AFTER = 5
"""Seconds in which a new namespace has its service account."""


class PodTrial:
    """Remembers what was admitted, since every look at an App asks."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._admitted: set[str] = set()

    async def problems(self, app: App, wanted: DesiredApp, recorded: RecordedState) -> list[Problem]:
        """Of the groups whose Pods are to be other ones than they are."""
        deadline = asyncio.get_running_loop().time() + _ADMITTED_AFTER
        tried = []
        for component in wanted.components:
            for group in component.groups:
                record = recorded.groups.get(group.resource_name)
                if group.nodes and (record is None or _differs(record, group.spec)):
                    tried.append(self._of_group(app, wanted, component, group, record, deadline))
        return [problem for found in await together(tried) for problem in found]

    async def _of_group(
        self,
        app: App,
        wanted: DesiredApp,
        component: DesiredComponent,
        group: DesiredGroup,
        record: GroupSpec | None,
        deadline: float,
    ) -> list[Problem]:
        """``deadline``: by the loop's clock, until when a new namespace may admit nothing."""
        pod = node_pod(wanted, component, group, group.nodes[0])
        key = digest([app.uid, pod])
        if key in self._admitted:
            return []
        refusal = await self._refusal(pod)
        while record is None and _passes(refusal) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(1)
            refusal = await self._refusal(pod)
        if refusal is None:
            self._remember(key)
            return []
        path = group_path(app, component.name, group.name)
        defaults = {name: GroupSpec.model_fields[name].get_default() for name in POD_FIELDS}
        other = group.spec.model_copy(update=defaults)
        if isinstance(refusal, ForbiddenError):
            why = why_forbidden(refusal.message)
            if record is None and why is Forbidden.LACKS_AMOUNTS:  # a Pod without amounts says nothing here
                return forbidden_pod(path, refusal.message)
            if record is None and why is Forbidden.NO_ROOM:
                return []
            other = other if record is None else record
        if await self._refusal(_pod_of(wanted, component, group, other)) is not None:
            return []
        if isinstance(refusal, InvalidError):
            return refused_pod(path, refusal.causes, refusal.message)
        return forbidden_pod(path, refusal.message)

    def _remember(self, key: str) -> None:
        if len(self._admitted) >= _REMEMBERED:
            self._admitted.clear()
        self._admitted.add(key)

    async def _refusal(self, pod: Manifest) -> InvalidError | ForbiddenError | None:
        """None also where nobody could be asked: then it is found when the Pod is made."""
        try:
            await self._platform.kubernetes.create(pod, dry_run=True)
        except (InvalidError, ForbiddenError) as error:
            return error
        except UnavailableError as error:
            log.warning("a Pod could not be tried: %s", error)
        except KubernetesError:
            return None  # one of the name is there: it was admitted once
        return None


def _passes(refusal: InvalidError | ForbiddenError | None) -> bool:
    """Whether it may be gone in a moment, in a new namespace."""
    return isinstance(refusal, ForbiddenError) and why_forbidden(refusal.message) is Forbidden.OTHER


def _pod_of(wanted: DesiredApp, component: DesiredComponent, group: DesiredGroup, spec: GroupSpec) -> Manifest:
    return node_pod(wanted, component, replace(group, spec=spec), group.nodes[0])


def _differs(record: GroupSpec, spec: GroupSpec) -> bool:
    return any(getattr(record, name) != getattr(spec, name) for name in POD_FIELDS)
