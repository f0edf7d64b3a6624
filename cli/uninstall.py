"""``mw uninstall``: the reverse of ``mw install``, once somebody has said what becomes of the Apps.

An App has a finalizer that only the platform removes. Taken away under it, the platform would leave Apps, and with them
their namespaces, that can never be deleted; and with the CRDs Kubernetes would delete every App's Deployments. So:

- ``delete``: the platform deletes the Apps first, volumes by each one's ``deletionPolicy``; nothing else is removed
  before the last one is gone.
- ``keep``: Pods run on, and nobody looks after them. The finalizers go, so that an App can be deleted by hand, and the
  CRDs and the authority stay, so that an installation later finds everything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from enum import StrEnum

from api.names import SYSTEM_NAMESPACE
from cli.installation import CRD_PATH, CRDS, HELM_SECONDS, RELEASE, find_helm, read_crds, run_helm
from cli.session import CommandError, kubeconfig_path
from clients.app_object import drop_finalizer
from clients.errors import NotFoundError
from clients.kubernetes import Kubernetes
from clients.resources import APP, CONFIG_MAP, SECRET, Manifest
from clients.tls.pki import AUTHORITY_SECRET, CLIENT_SECRET

_PLUGINS = "app.kubernetes.io/component in (plugin,plugin-templates)"
_LOOK_SECONDS = 1.0
_SHOWN = 5


class Apps(StrEnum):
    """What becomes of them."""

    DELETE = "delete"
    KEEP = "keep"


async def uninstall(
    kubernetes: Kubernetes,
    apps: Apps | None,
    seconds: float,
    kubeconfig: str | None,
    report: Callable[[str], None],
) -> None:
    """``seconds``: for the Apps to be gone. May be repeated. Raises CommandError, KubernetesError."""
    helm = find_helm()
    found = await _apps(kubernetes)
    if found and apps is None:
        raise CommandError(
            f"{_listed(found)} {'is' if len(found) == 1 else 'are'} still there; say what becomes of them: "
            "--apps delete (volumes by each one's deletionPolicy), or --apps keep (Pods run on, and nobody looks after "
            "them)"
        )
    if found and apps is Apps.DELETE:
        await _delete(kubernetes, found, seconds, report)
        found = []
    # By its own records: Helm before 3.13 cannot be told that there may be none, as after an attempt that broke off.
    releases, _ = await kubernetes.list(SECRET, SYSTEM_NAMESPACE, labels=f"owner=helm,name={RELEASE}")
    if releases:
        arguments = ["uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE, "--wait", "--timeout", f"{HELM_SECONDS}s"]
        await run_helm(helm, arguments, kubeconfig_path(kubeconfig))
    report(f"Watcher and worker are gone from {SYSTEM_NAMESPACE}")
    if found:
        for app in found:
            await release(kubernetes, app)
        report(f"With nobody to look after them there are still {_listed(found)}; CRDs, plugins and certificates stay")
        return
    await _remove_rest(kubernetes)
    report("Plugins, certificates and CRDs are gone; volumes and passwords that Apps have left stay")


async def _apps(kubernetes: Kubernetes) -> list[Manifest]:
    if not await kubernetes.serves(APP):
        return []
    found, _ = await kubernetes.list(APP)
    return list(found)


def _listed(apps: Sequence[Manifest]) -> str:
    names = sorted(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in apps)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{'App' if len(names) == 1 else 'Apps'} {', '.join(names[:_SHOWN])}{more}"


async def _delete(
    kubernetes: Kubernetes, apps: Sequence[Manifest], seconds: float, report: Callable[[str], None]
) -> None:
    for app in apps:
        metadata = app["metadata"]
        await kubernetes.delete(APP, metadata["name"], metadata["namespace"], uid=metadata["uid"])
    report(f"{_listed(apps)}: deleting")
    deadline = time.monotonic() + seconds
    while left := await _apps(kubernetes):
        if time.monotonic() > deadline:
            raise CommandError(
                f"{_listed(left)} could not be deleted within {seconds:.0f} s, so nothing was uninstalled; mw status "
                "says what it waits for. Where the platform does not run any more: --apps keep takes the finalizer off"
            )
        await asyncio.sleep(_LOOK_SECONDS)


async def release(kubernetes: Kubernetes, app: Manifest) -> None:
    """Takes the platform's finalizer off. An App that is being deleted is gone with that: its Deployments and Services
    follow by their owner, volumes and passwords stay."""
    live = await kubernetes.get(APP, app["metadata"]["name"], app["metadata"]["namespace"])
    if live is None:
        return
    try:
        await drop_finalizer(kubernetes, live)
    except NotFoundError:
        return
    except TimeoutError as error:
        raise CommandError(f"{error}; try again") from error


async def _remove_rest(kubernetes: Kubernetes) -> None:
    maps, _ = await kubernetes.list(CONFIG_MAP, SYSTEM_NAMESPACE, labels=_PLUGINS)
    for each in maps:
        await kubernetes.delete(CONFIG_MAP, each["metadata"]["name"], SYSTEM_NAMESPACE)
    for name in (CLIENT_SECRET, AUTHORITY_SECRET):
        await kubernetes.delete(SECRET, name, SYSTEM_NAMESPACE)
    for name in read_crds(CRDS / "v1"):
        try:
            await kubernetes.call("DELETE", f"{CRD_PATH}/{name}", doing=f"removing {name}")
        except NotFoundError:
            continue
