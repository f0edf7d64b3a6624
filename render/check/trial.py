"""A rendering to see whether it works: at a plugin's installation, and before an App is touched."""

from __future__ import annotations

from api.tools import Tool
from render.desired.app import DesiredApp
from render.manifests.node import node_config_map, render_tools, stand_in_addresses, template_context


def render_trial(wanted: DesiredApp) -> dict[str, dict[str, Tool]]:
    """Renders the first and last node of each component, as at the first start and as later; answers the tools.

    Raises TemplateFailure.
    """
    addresses = stand_in_addresses(wanted)
    tools = {}
    for component in wanted.components:
        for node in dict.fromkeys((component.nodes[0], component.nodes[-1])):
            for bootstrap in (component.bootstrap_node, None):
                node_config_map(wanted, component, node, addresses=addresses, bootstrap=bootstrap, revision=1)
        first = component.nodes[0]
        context = template_context(wanted, component, first, addresses=addresses, bootstrap=component.bootstrap_node)
        tools[component.name] = dict(render_tools(wanted, component, context).tools)
    return tools
