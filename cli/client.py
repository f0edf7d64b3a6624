"""``mw connect``: the engine's own client in the node's container, by kubectl.

A password never leaves the Pod: the shell there reads it from the mounted Secret into the client's environment, so
it is in no argument on either side and never on the person's machine.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from api.names import MIDDLEWARE_CONTAINER
from api.plugin import SECRET_REFERENCE, ClientProgram, ComponentDefinition, Plugin
from cli.nodes import Node, app_nodes, named, primary_of
from cli.plugins import installed_bundle
from cli.session import CommandError, embedded_state
from cli.status import Loaded
from clients.kubernetes import Kubernetes

SECRETS = "/etc/middleware-secrets"
"""As in ``api.node``."""


@dataclass(frozen=True)
class Connection:
    node: Node
    client: ClientProgram


def shell_command(client: ClientProgram, arguments: Sequence[str]) -> list[str]:
    """What runs in the Pod; further arguments are the shell's own, so nothing in them is interpreted."""
    lines = ["set -e"]
    for name, value in client.env.items():
        lines.append(f"{name}={_shell_text(value)}; export {name}")
    lines.append(f'exec {shlex.join(client.command)} "$@"')
    return ["sh", "-c", "\n".join(lines), "mw", *arguments]


def _shell_text(value: str) -> str:
    pieces = SECRET_REFERENCE.split(value)  # text, name, text, name, …, text
    # The password in use: what people read may be one that is yet to be brought about.
    quoted = [
        f'"$(cat {SECRETS}/{piece}.used 2>/dev/null || cat {SECRETS}/{piece})"' if number % 2 else shlex.quote(piece)
        for number, piece in enumerate(pieces)
    ]
    return "".join(piece for piece in quoted if piece != "''") or "''"


def choose(loaded: Loaded, nodes: Sequence[Node], plugin: Plugin, component: str, node: str) -> Connection:
    """The named node; else the primary; else, where nobody is primary, the first ready node of a component that has a
    client. Raises CommandError."""
    name = loaded.app["metadata"]["name"]
    definitions = {each.name: each for each in plugin.spec.components}
    if component and component not in definitions:
        raise CommandError(
            f"plugin {plugin.metadata.name} has no component {component}; it has {', '.join(definitions)}"
        )
    wanted = node or primary_of(loaded, component)
    if wanted:
        chosen = named(nodes, name, wanted)
    else:
        fitting = [
            each
            for each in nodes
            if component in ("", each.component) and (component or _client(definitions, each.component) is not None)
        ]
        if not fitting:
            raise CommandError(f"no node of {component or name} has a Pod and a client; name one with --node")
        chosen = next((each for each in fitting if each.ready), fitting[0])
    client = _client(definitions, chosen.component)
    if client is None:
        raise CommandError(
            f"plugin {plugin.metadata.name} {plugin.metadata.version} declares no client for {chosen.component}; a "
            f"shell there: kubectl exec -it {chosen.pod} -c {MIDDLEWARE_CONTAINER} -- sh"
        )
    return Connection(running(chosen), client)


def running(node: Node) -> Node:
    """The node, where its engine runs. Raises CommandError."""
    if not node.runs:
        why = f": {node.reason}" if node.reason else ""
        raise CommandError(f"the engine of {node.name} does not run now{why}")
    return node


def _client(definitions: dict[str, ComponentDefinition], component: str) -> ClientProgram | None:
    definition = definitions.get(component)
    return definition.client if definition is not None else None


async def connection(kubernetes: Kubernetes, namespace: str, app: str, component: str, node: str) -> Connection:
    loaded, nodes = await app_nodes(kubernetes, namespace, app)
    reference = loaded.app["spec"]["plugin"]
    # The version that runs: the spec may name one that was refused.
    bundle = await installed_bundle(kubernetes, reference["name"], loaded.plugin_version or reference["version"])
    return choose(loaded, nodes, bundle.plugin, component, node)


def find_kubectl() -> str:
    path = f"{os.environ.get('PATH', '')}:{embedded_state() / 'bin'}"
    program = shutil.which("kubectl", path=path)
    if program is None:
        raise CommandError("kubectl is not on PATH; it carries the terminal to the Pod (`make up` brings one)")
    return program


def kubectl_arguments(
    pod: str, namespace: str, command: Sequence[str], container: str = MIDDLEWARE_CONTAINER
) -> list[str]:
    """A terminal only where there is one: in a pipe it would mix its own characters in."""
    terminal = ["-t"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    return ["exec", "-i", *terminal, pod, "-n", namespace, "-c", container, "--", *command]
