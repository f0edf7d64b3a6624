"""``mw plugin new``: a plugin that passes lint and deploys, with what each line is for, to go on from."""

from __future__ import annotations

import re
from pathlib import Path

from api import schemas
from api.meta import DNS_LABEL_PATTERN
from cli.session import CommandError

_SCHEMAS = ".schema"
"""A hidden folder is no part of a plugin."""

DEFINITION = """\
# yaml-language-server: $schema=.schema/plugin.json
# What there is: versions and images, topologies, components, roles. docs/plugin-format.md is the guide.
apiVersion: plugin.middleware.io/v1alpha1
kind: Plugin
metadata: {name: NAME, version: 0.1.0}
spec:
  description: NAME, a node or several
  defaultRuntimeVersion: "1.0"
  # The engine's versions, each with the images that components name below. Nothing is added to an image: any with the
  # engine and a shell in it will do. This one is on every machine that runs the platform.
  runtimeVersions:
  - {version: "1.0", images: {NAME: "middleware.local/redis:7.0"}}

  # How an App may be built: which components, how many nodes of each.
  topologies:
  - name: standalone
    default: true
    description: One node
    components:
    - name: NAME
      replicas: 1
      maximum: 1
      resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 128Mi}}
      storage: {size: 1Gi}

  # A password is made for each App; tools know it as secret.password, templates as atStart.secret.password.
  credentials:
  - {name: password}

  components:
  - name: NAME
    image: NAME
    process:
      # In the foreground: the engine runs for as long as this process does. Write your engine's command here.
      command: [redis-server, /middleware/conf/NAME.conf]
      # Made below /middleware, the node's volume, before the first start.
      directories: [conf, data]
      stop: {signal: TERM, timeout: 30}
    # All ports on which the engine listens. The first is that of the App's Service.
    ports: [{name: client, port: 6379}]
    files:
    - {path: /middleware/conf/NAME.conf, template: templates/NAME.conf.j2, mode: "0600"}
    parameters: parameters/NAME.yaml
    # What getRole may answer. The writable one gets a Service of its own.
    roles:
    - {name: primary, writable: true}
    tools: tools/NAME.yaml
    # What `mw connect` runs in the node's container.
    client: {command: [redis-cli], env: {REDISCLI_AUTH: "{{ secret.password }}"}}
"""
PARAMETERS = """\
# yaml-language-server: $schema=../.schema/parameters.json
# What an App may set: its JSON Schema, how a change is applied (dynamic, restart, immutable), its default.
maxclients:
  schema: {type: integer, minimum: 64, maximum: 65000}
  apply: dynamic
  default: 1000
  description: Connections at a time
maxmemory:
  schema: {type: integer, minimum: 1048576}
  apply: restart
  unit: bytes
  # Of the node: half of what it may have.
  defaultExpression: (resources.memory * 0.5) | int
  checks:
  - that: value < resources.memory
    message: >-
      {{ value }} bytes leave nothing of the {{ resources.memory }} that the node has;
      write less, or raise limits.memory
"""
TEMPLATE = """\
# Rendered by the platform; what stands under atStart is filled in by the node's agent at each start.
port {{ component.ports.client }}
dir /middleware/data
daemonize no
protected-mode no
requirepass {{ atStart.secret.password | quoted }}
{% for name, value in config.items() %}
{{ name }} {{ value | yesno }}
{% endfor %}
"""
TOOLS = """\
# yaml-language-server: $schema=../.schema/tools.json
# What the platform can do with a node: each tool is a list of steps. docs/plugin-reference.md lists them all.

# `me` is the engine beside the agent. `keep` keeps the connection for the next poll.
connections:
  me: {resp: "127.0.0.1:6379", login: ["{{ secret.password }}"], keep: true}

tools:
  # Polled. It succeeds only while clients may come to this node.
  ready:
    timeout: 2
    steps:
    - {resp: [PING], as: answer, expect: answer == 'PONG', timeout: 1}

  # Polled. Its role must be one that plugin.yaml declares.
  getRole:
    timeout: 2
    steps:
    - {resp: [INFO, replication], as: info, timeout: 1}
    result:
      role: "{{ 'primary' if info.role == 'master' else '' }}"

  # What runs; an upgrade asks before it goes on.
  getVersion:
    steps:
    - {resp: [INFO, server], as: info}
    result: {version: "{{ info.redis_version }}"}

  # The parameters in effect, by the engine's own names.
  readConfig:
    steps:
    - {forEach: parameters | list, resp: [CONFIG, GET, "{{ item }}"], as: answer, into: answers}
    result: "{{ answers | merged }}"

  # Sets the dynamic parameters that have changed. By default it is not run where a restart follows, which brings them
  # too; this one hears of a bad value before that.
  reloadConfig:
    beforeRestart: true
    steps:
    - {forEach: arg, resp: [CONFIG, SET, "{{ item.name }}", "{{ item.value }}"]}
"""
TESTS = """\
# yaml-language-server: $schema=../.schema/tests.json
# `mw plugin test` runs these: recorded answers of the engine, and what a tool must make of them.
component: NAME
tests:
- name: an engine that answers is ready
  tool: ready
  answers: [{resp: [PING], reply: PONG}]

- name: one that loads its data is not
  tool: ready
  answers: [{resp: [PING], reply: {error: LOADING is loading the dataset in memory}}]
  fails: LOADING

- name: a lone node is primary
  tool: getRole
  answers: [{resp: [INFO, replication], reply: "role:master"}]
  result: {role: primary}
"""
APP = """\
# kubectl apply -f NAME-app.yaml
apiVersion: middleware.io/v1alpha1
kind: App
metadata: {name: my-NAME, namespace: default}
spec:
  plugin: {name: NAME, version: 0.1.0}
"""
_FILES = {
    "plugin.yaml": DEFINITION,
    "parameters/NAME.yaml": PARAMETERS,
    "templates/NAME.conf.j2": TEMPLATE,
    "tools/NAME.yaml": TOOLS,
    "tests/NAME.yaml": TESTS,
}


def made(name: str, folder: Path) -> list[Path]:
    """The files that were written. Raises CommandError, OSError."""
    if re.fullmatch(DNS_LABEL_PATTERN, name) is None:
        raise CommandError(f"{name!r} is no name; use lower-case letters, digits and dashes, beginning with a letter")
    if folder.exists():
        raise CommandError(f"{folder} is there already; name another place with --in")
    texts = {file.replace("NAME", name): text.replace("NAME", name) for file, text in _FILES.items()}
    texts |= {f"{_SCHEMAS}/{file}": text for file, text in schemas.generated().items()}
    texts |= {f"../{name}-app.yaml": APP.replace("NAME", name)}
    for file, text in texts.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [(folder / file).resolve() for file in texts if not file.startswith(_SCHEMAS)]
