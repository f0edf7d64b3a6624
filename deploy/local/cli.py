"""The command line of the embedded cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from deploy.local import prepare, slots, stages, status
from deploy.local.errors import LocalError
from deploy.local.instance import Instance


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description="A real Kubernetes and Temporal server on this machine, and the platform on it.",
        epilog="Environment: MW_STATE (state directory), MW_CACHE (binaries and images), MW_RELEASES (mirror, or off).",
    )
    result.add_argument("--instance", default="default", help="its name; several run side by side (default: default)")
    commands = result.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring everything up; may be repeated")
    up.add_argument("--cluster-only", action="store_true", help="Kubernetes and Temporal, without the platform")
    up.add_argument(
        "--cluster", choices=("embedded", "current"), default="embedded",
        help="current: install into the cluster that the kubeconfig names, and start nothing here",
    )  # fmt: skip
    up.add_argument(
        "--set", dest="values", action="append", default=[], metavar="KEY=VALUE",
        help="with --cluster current: a value of the chart, as in helm; may be repeated",
    )  # fmt: skip
    up.add_argument(
        "--nodes", type=int, metavar="N",
        help=f"how many nodes, 1 to {slots.MAXIMUM_NODES}; an instance grows and does not shrink (default: as it is)",
    )  # fmt: skip
    commands.add_parser("prepare", help="make what `up` would make first (programs, images), and start nothing")
    down = commands.add_parser("down", help="end everything; the data stays")
    down.add_argument("--purge", action="store_true", help="remove the data too")
    commands.add_parser("status", help="each component: does it run, does it answer")
    commands.add_parser("env", help="lines for `eval`: KUBECONFIG, TEMPORAL_ADDRESS, PATH")
    for verb, text in (("start", "start"), ("stop", "stop (SIGTERM)"), ("kill", "kill (SIGKILL)")):
        command = commands.add_parser(verb, help=f"{text} one component")
        command.add_argument("component")
    node = commands.add_parser("node", help="a whole node but the first").add_subparsers(dest="verb", required=True)
    for verb, text in (
        ("kill", "take its power away"), ("stop", "shut it down in good order"), ("start", "switch it on"),
        ("isolate", "pull its network cable"), ("rejoin", "plug the cable in again"),
    ):  # fmt: skip
        node.add_parser(verb, help=text).add_argument("node", help="node-2, node-3, ...")
    image = commands.add_parser("image", help="images of the node").add_subparsers(dest="verb", required=True)
    load = image.add_parser("load", help="load an OCI or Docker archive")
    load.add_argument("archive", type=Path, nargs="+")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    console = Console(stderr=True, highlight=False)
    try:
        _run(options, Instance(options.instance))
    except LocalError as error:
        console.print(f"[red]Error:[/red] {escape(str(error))}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted. What was started goes on; `make up` continues from here, `make down` ends it.")
        return 130
    return 0


def _run(options: argparse.Namespace, instance: Instance) -> None:
    match options.command:
        case "up" if options.cluster == "current":
            stages.bring_up_current(instance.progress, options.values)
        case "up":
            if options.cluster_only:
                instance.up(options.nodes)
            else:
                stages.bring_up(instance, nodes=options.nodes)
            instance.progress.print_table()
            _say_how_to_use(instance)
        case "prepare":
            prepare.everything(instance.progress)
            instance.progress.print_table()
        case "down":
            instance.down(purge=options.purge)
        case "status":
            Console().print(status.table(instance))
            sys.stdout.write(f"Logs: {instance.paths.logs}/<component>.log\n")
        case "env":
            sys.stdout.write(status.shell_exports(instance) + "\n")
        case "image":
            for archive in options.archive:
                for name in instance.load_image(archive):
                    sys.stdout.write(name + "\n")
        case "node":
            getattr(instance, f"{options.verb}_node")(options.node)
        case "start" | "stop" | "kill":
            getattr(instance, options.command)(options.component)


def _say_how_to_use(instance: Instance) -> None:
    flag = "" if instance.name == "default" else f" --instance {instance.name}"
    instance.progress.note(f'Use it:      eval "$(.venv/bin/python -m deploy.local{flag} env)"; kubectl get nodes')
    instance.progress.note(
        f"Temporal UI: {instance.temporal_ui}, on this machine only; elsewhere http://localhost:8233"
    )
    instance.progress.note(f"             after: ssh -L 8233:{instance.addresses.node}:8233 THIS-MACHINE")
