"""A small plugin and Apps for it, so that each test shows only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent
from typing import Any

from api.app import App
from api.component import ComponentSpec
from api.group import AgentBundle, GroupSpec
from render.desired.app import DesiredApp, RecordedState, desired
from render.lint.plugin import errors, lint
from render.manifests.objects import component_resource, group_resource
from render.plugin.bundle import PluginBundle, from_files
from render.validation.app import Problem, parse_app, validate

DEFINITION = """
apiVersion: plugin.middleware.io/v1alpha1
kind: Plugin
metadata: {name: shelf, version: 1.0.0}
spec:
  defaultRuntimeVersion: "2"
  runtimeVersions:
  - {version: "1", images: {shelf: "shelf:1"}}
  - {version: "2", images: {shelf: "shelf:2"}}
  - {version: "3", images: {shelf: "shelf:3"}}
  topologies:
  - name: cluster
    default: true
    components:
    - {name: watch, after: [store], replicas: 3, minimum: 3, maximum: 5}
    - name: store
      replicas: 2
      minimum: 2
      resources: {requests: {cpu: 250m, memory: 128Mi}, limits: {memory: 256Mi}}
      storage: {size: 1Gi}
  - name: single
    components:
    - {name: store, replicas: 1, maximum: 1, storage: {size: 1Gi}}
  credentials: [{name: password}]
  components:
  - name: store
    image: shelf
    user: 1234
    process: {command: [shelf], stop: {timeout: 30}}
    ports: [{name: shelf, port: 7000}]
    files: [{path: /middleware/conf/shelf.conf, template: shelf.conf.j2}]
    parameters: parameters.yaml
    roles: [{name: primary, writable: true, upgradeOrder: 2}, {name: replica}]
    tools: tools.yaml
  - name: watch
    image: shelf
    process: {command: [shelf, watch]}
    ports: [{name: watch, port: 7001}]
    tools: watch.yaml
"""
PARAMETERS = r"""
cache-size:
  schema: {type: string, pattern: '^[0-9]+(kb|mb|gb)$', examples: [256mb]}
  apply: dynamic
  default: 64mb
threads: {schema: {type: integer, minimum: 1, maximum: 16}, default: 2}
sync: {schema: {enum: [always, never]}, default: always}
journal: {schema: {type: boolean}, default: true}
page-size: {schema: {type: integer, minimum: 512}, apply: immutable, default: 4096}
heap: {schema: {type: integer, minimum: 0}, defaultExpression: "(resources.memory * 0.5) | int"}
"""
TOOLS = """\
connections:
  me: {tcp: "127.0.0.1:7000"}
tools:
  ready:
    steps: [{tcp: {send: "ping {{ node.id }}"}, as: said, expect: said == 'pong'}]
  getRole:
    steps: [{tcp: {send: role}, as: said}]
    result: {role: "{{ said }}"}
"""
WATCH = """\
connections:
  me: {tcp: "127.0.0.1:7001"}
tools:
  ready: {steps: [{tcp: {}, as: said, expect: said == 'ok'}]}
"""
FILES: Mapping[str, str] = {
    "plugin.yaml": DEFINITION,
    "parameters.yaml": PARAMETERS,
    "shelf.conf.j2": "{% for name, value in config.items() %}\n{{ name }} {{ value | yesno }}\n{% endfor %}\n"
    "me {{ node.address }} id {{ node.id }} of {{ component.nodes | length }}\n"
    "first {{ bootstrap.name if bootstrap else '-' }}\n",
    "tools.yaml": TOOLS,
    "watch.yaml": WATCH,
}


def shelf(**changes: str) -> PluginBundle:
    """The plugin, with files replaced (``parameters_yaml=...`` is ``parameters.yaml``)."""
    return from_files(shelf_files(**changes))


def shelf_files(**changes: str) -> dict[str, str]:
    named = {name.replace(".", "_").replace("/", "_"): name for name in FILES}
    return {**FILES, **{named[name]: text for name, text in changes.items()}}


def found_by_lint(**changes: str) -> str:
    """What keeps the plugin from being installed."""
    return "; ".join(map(str, errors(lint(shelf_files(**changes)))))


def with_tools(text: str, file: str = TOOLS) -> str:
    """The tool file with further tools at its end, each a line that begins with its name."""
    return file + indent(text, "  ")


def app(name: str = "books", **spec: Any) -> App:
    """An App of the plugin; keywords are fields of its spec."""
    return App.model_validate(manifest(name, **spec))


def manifest(name: str = "books", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "middleware.io/v1alpha1",
        "kind": "App",
        "metadata": {"name": name, "namespace": "library", "uid": "uid-1", "generation": 3},
        "spec": {"plugin": {"name": "shelf", "version": "1.0.0"}, **spec},
    }


def wanted(
    of: App | None = None, *, recorded: RecordedState | None = None, bundle: PluginBundle | None = None
) -> DesiredApp:
    return desired(of or app(), bundle or shelf(), agent=AgentBundle(image="agent:1"), recorded=recorded)


def problems(name: str = "books", recorded: RecordedState | None = None, **spec: Any) -> dict[str, str]:
    """Path -> message of what is wrong with an App written like this, parsing included."""
    parsed, found = parse_app(manifest(name, **spec))
    if parsed is not None:
        found = validate(parsed, shelf(), {"shelf": ["1.0.0"]}, recorded)
    assert all(isinstance(problem, Problem) for problem in found)
    return {problem.path: problem.message for problem in found}


def store(**group: Any) -> list[dict[str, Any]]:
    """``spec.components`` with one group of the component ``store``."""
    return [{"name": "store", "groups": [{"name": "g", **group}]}]


def records(of: DesiredApp) -> RecordedState:
    """What the API server would hold after a deploy."""
    return RecordedState(
        components={c.name: ComponentSpec.model_validate(component_resource(of, c)["spec"]) for c in of.components},
        groups={
            g.resource_name: GroupSpec.model_validate(group_resource(of, c, g)["spec"])
            for c in of.components
            for g in c.groups
        },
    )
