"""The tenant's hands: acts by the rights of role ``edit`` in the Apps' namespace and by no others, so that the API
server itself refuses what the role may not do."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.chaos.edits.acts import Act, Patch
from tests.e2e.support.kube import Kube, KubectlError, Manifest

USER = "edith"


@dataclass(frozen=True)
class Touched:
    """An object on which an act was done, as it was before; ``patch``: how it was changed, where it was not deleted."""

    before: Manifest
    patch: Patch | None

    @property
    def name(self) -> str:
        return str(self.before["metadata"]["name"])


@dataclass(frozen=True)
class Tenant:
    kube: Kube
    namespace: str

    def admit(self) -> None:
        """Gives the role."""
        binding = [f"{USER}-edits", "-n", self.namespace, "--clusterrole=edit", f"--user={USER}"]
        try:
            self.kube.run("create", "rolebinding", *binding)
        except KubectlError as error:
            if "already exists" not in str(error):
                raise

    def candidates(self, app: str, act: Act) -> list[Manifest]:
        """Objects of the App on which the act can be done, sorted by name, none that is going."""
        found = self.kube.find(act.kind, self.namespace, f"middleware.io/app={app}")
        own = [each for each in found if "deletionTimestamp" not in each["metadata"] and act.among(each)]
        return sorted(own, key=lambda each: str(each["metadata"]["name"]))

    def do(self, act: Act, live: Manifest) -> Touched:
        """Raises KubectlError where the API server refuses it."""
        name = str(live["metadata"]["name"])
        if act.patch is None:
            self._run("delete", act.kind, name, "--wait=false", *(act.delete or ()))
            return Touched(live, None)
        patch = act.patch(live)
        self._run("patch", act.kind, name, "--type=merge", "-p", json.dumps(patch))
        return Touched(live, patch)

    def put_back(self, before: Manifest) -> None:
        """What a person does whom a message asks for an object as it was."""
        kept = {key: before["metadata"][key] for key in ("name", "labels", "annotations") if key in before["metadata"]}
        made = {key: before[key] for key in ("apiVersion", "kind", "type", "data") if key in before}
        self._run("create", "-f", "-", stdin=json.dumps({**made, "metadata": kept}))

    def _run(self, *words: str, stdin: str | None = None) -> None:
        self.kube.run(*words, "-n", self.namespace, f"--as={USER}", stdin=stdin)
