"""A good plugin, and mistakes that an author may make in it.

In a mistake ``«`` stands before the place that the lint must name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DEFINITION = """\
apiVersion: plugin.middleware.io/v1alpha1
kind: Plugin
metadata: {name: kiosk, version: 1.0.0}
spec:
  defaultRuntimeVersion: "2"
  runtimeVersions:
  - {version: "1", images: {kiosk: "kiosk:1"}}
  - {version: "2", images: {kiosk: "kiosk:2"}}
  topologies:
  - name: pair
    default: true
    components: [{name: kiosk, replicas: 2}]
  - name: alone
    components: [{name: kiosk}]
  credentials: [{name: password}]
  components:
  - name: kiosk
    image: kiosk
    process:
      command: [kiosk, /middleware/kiosk.conf]
      env: {KIOSK_NAME: "{{ node.name }}"}
    ports: [{name: kiosk, port: 7000}]
    files:
    - {path: /middleware/kiosk.conf, template: kiosk.conf.j2}
    parameters: parameters.yaml
    roles: [{name: primary, writable: true}, {name: replica}]
    tools: tools.yaml
    client: {command: [kiosk-cli], env: {KIOSK_PASSWORD: "{{ secret.password }}"}}
"""
PARAMETERS = """\
slots:
  schema: {type: integer, minimum: 1}
  default: 4
  checks:
  - that: value <= 8
    message: "{{ value }} slots are too many; write at most 8"
motto: {schema: {type: string}, default: open all day}
"""
TEMPLATE = """\
slots {{ config.slots }}
motto {{ config.motto | quoted }}
password {{ atStart.secret.password | quoted }}
{% if topology == "pair" %}
{{ atStart.preStart.follows }}
{% endif %}
"""
TOOLS = """\
connections:
  me: {resp: "127.0.0.1:7000", login: ["{{ secret.password }}"], keep: true}
  peer: {resp: "{{ at }}:7000", login: ["{{ secret.password }}"]}
  lines: {tcp: "127.0.0.1:7001"}

vars:
  peers: component.nodes | map(attribute='address') | reject('eq', node.address) | list
  leads: info.role == 'primary'

sequences:
  state:
    steps:
    - {resp: [INFO, replication], as: info}
    result: "{{ info }}"
  leader:
    steps:
    - {firstOf: peers, to: peer, at: "{{ item }}", resp: [INFO, "{{ arg.part }}"], as: info, expect: leads}
    result: "{{ item }}"

tools:
  ready:
    steps:
    - {call: state, as: info}
    - {when: leads and info.loading, fail: it loads}
    - {tcp: {send: "hello {{ config.motto | quoted }}"}, as: said, expect: said is matching('^ok')}
  getRole:
    steps:
    - {call: state, as: info}
    result: {role: "{{ 'primary' if info.role == 'master' else 'replica' }}"}
  preStart:
    steps:
    - {call: leader, with: {part: replication}, as: found, optional: true}
    - set: {follows: "{{ 'follow ' ~ found if found else '' }}"}
    result: {follows: "{{ follows }}"}
  fence:
    steps:
    - {resp: [PAUSE, "{{ arg.seconds | int * 1000 }}"]}
    undo: {tool: unfence, after: "{{ arg.seconds }}"}
  unfence:
    steps:
    - run: {argv: [kiosk-cli, unpause], env: {KIOSK_PASSWORD: "{{ secret.password }}"}}
"""
FILES: Mapping[str, str] = {
    "plugin.yaml": DEFINITION,
    "parameters.yaml": PARAMETERS,
    "kiosk.conf.j2": TEMPLATE,
    "tools.yaml": TOOLS,
}


@dataclass(frozen=True)
class Mistake:
    file: str
    good: str
    bad: str
    said: str

    def made_in(self, files: Mapping[str, str]) -> dict[str, str]:
        """The mark stays in it."""
        assert files[self.file].count(self.good) >= 1, self
        return {**files, self.file: files[self.file].replace(self.good, self.bad, 1)}


def with_mistakes(mistakes: Iterable[Mistake]) -> tuple[dict[str, str], list[tuple[str, int, int]]]:
    """The plugin's files, and the marked places, in the order of files and lines."""
    files = dict(FILES)
    for mistake in mistakes:
        files = mistake.made_in(files)
    places = []
    for name, text in files.items():
        for number, line in enumerate(text.splitlines(), start=1):
            at = line.find("«")
            while at >= 0:
                places.append((name, number, at + 1))
                line = line[:at] + line[at + 1 :]
                at = line.find("«")
    return {name: text.replace("«", "") for name, text in files.items()}, sorted(places)


TWELVE = [
    Mistake("plugin.yaml", "    image: kiosk\n", "    image: kiosk\n    «usr: 1000\n", "this field does not exist"),
    Mistake(
        "parameters.yaml",
        "that: value <= 8",
        "that: value <= config.«slot",
        "config has no 'slot'; did you mean slots?",
    ),
    Mistake(
        "kiosk.conf.j2", "config.slots", "«confg.slots", "nothing is called 'confg' in a template; did you mean config?"
    ),
    Mistake("kiosk.conf.j2", "atStart.secret.password | quoted", "«atStart.secret.password", "stands as it is"),
    Mistake(
        "tools.yaml",
        "when: leads and info.loading",
        "when: «lead and info.loading",
        "nothing is called 'lead' here; did you mean leads?",
    ),
    Mistake(
        "tools.yaml",
        "as: said, expect: said is matching('^ok')",
        "as: said, expect: said is «matchin('^ok')",
        "there is no test 'matchin'; did you mean matching?",
    ),
    Mistake(
        "tools.yaml",
        "'replica' }}",
        "'«slave' }}",
        "gives the role 'slave', which plugin.yaml does not declare; declared are primary, replica",
    ),
    Mistake(
        "tools.yaml",
        "call: leader, with: {part: replication}",
        "call: «leeder, with: {part: replication}",
        "there is no sequence 'leeder'; did you mean leader?",
    ),
    Mistake(
        "tools.yaml",
        '  lines: {tcp: "127.0.0.1:7001"}\n',
        '  lines: {tcp: "127.0.0.1:7001"}\n  «spare: {tcp: "127.0.0.1:7002"}\n',
        "used by no step; remove it",
    ),
    Mistake(
        "tools.yaml",
        "| reject('eq', node.address)",
        "| reject('eq', node.«adress)",
        "node has no 'adress'; did you mean address?",
    ),
    Mistake("tools.yaml", "{tool: unfence,", "{tool: «unfense,", "there is no tool 'unfense'; did you mean unfence?"),
    Mistake(
        "tools.yaml",
        "argv: [kiosk-cli, unpause]",
        'argv: [kiosk-cli, unpause, -a, "{{ «secret.password }}"]',
        "a secret must not reach a command line",
    ),
]
"""All at once, in one plugin."""

MORE = [
    Mistake("tools.yaml", "matching('^ok')", "«matching('(o+)+k')", "its search may not end"),
    Mistake(
        "tools.yaml",
        '{resp: [PAUSE, "{{ arg.seconds | int * 1000 }}"]}',
        '«{resp: [[PAUSE, "{{ arg.seconds | int * 1000 }}"], PONG]}',
        "one command (a list of words) or several",
    ),
    Mistake(
        "tools.yaml",
        '{resp: [PAUSE, "{{ arg.seconds | int * 1000 }}"]}',
        '«{resp: [[PAUSE, "{{ arg.seconds | int * 1000 }}"], []]}',
        "a command has at least one word",
    ),
    Mistake("plugin.yaml", "kind: Plugin\nmetadata:", "kind: [Plugin\nmetadata«:", "is not YAML"),
    Mistake(
        "plugin.yaml",
        "template: kiosk.conf.j2",
        "«template: kiosk.cnf.j2",
        "file 'kiosk.cnf.j2' is not in the plugin; did you mean kiosk.conf.j2?",
    ),
    Mistake("plugin.yaml", "{{ node.name }}", "{{ node.«nam }}", "node has no 'nam'; did you mean name?"),
    Mistake("plugin.yaml", "command: [kiosk,", 'command: [kiosk, "{{ «secret.password }}",', "give it by env"),
    Mistake("plugin.yaml", "port: 7000", "«port: 50051", "50051 is the agents' own"),
    Mistake("parameters.yaml", "default: 4", "«default: four", "'four' is not of type 'integer'"),
    Mistake("parameters.yaml", "type: integer", "«type: intejer", "is not JSON Schema"),
    Mistake("parameters.yaml", "motto:", "«slots: {schema: {type: integer}}\nmotto:", "stands twice"),
    Mistake(
        "kiosk.conf.j2",
        "config.motto | quoted",
        "config.motto | «quotd",
        "there is no filter 'quotd'; did you mean quoted?",
    ),
    Mistake(
        "kiosk.conf.j2",
        "motto {{ config.motto | quoted }}",
        "motto «{{ config.motto }}",
        "parameter motto may be any text",
    ),
    Mistake(
        "kiosk.conf.j2",
        "preStart.follows",
        "preStart.«folows",
        "atStart.preStart has no 'folows'; did you mean follows?",
    ),
    Mistake("kiosk.conf.j2", "atStart.secret", "«secret", "it is known as the engine starts: write atStart.secret"),
    Mistake("tools.yaml", "keep: true", "«keep: maybe", "is not allowed: write a valid boolean"),
    Mistake("tools.yaml", "expect: leads}", "«expects: leads}", "this field does not exist"),
    Mistake(
        "tools.yaml",
        "    - {call: state, as: info}\n    - {when",
        "    - «{call: state, fail: no, as: info}\n    - {when",
        "a step has exactly one of",
    ),
    Mistake("tools.yaml", "fail: it loads", '«fail: "{{ it loads }}"', "is no expression"),
    Mistake("tools.yaml", "matching('^ok')", "matching('^ok«\\d')", "write [0-9]"),
    Mistake("tools.yaml", "matching('^ok')", "«matching('^ok(')", "is not a pattern"),
    Mistake("tools.yaml", "to: peer,", "to: «pear,", "there is no connection 'pear'; did you mean peer?"),
    Mistake("tools.yaml", "to: peer,", "to: «lines,", "connection 'lines' is not for resp; there are me, peer"),
    Mistake(
        "tools.yaml",
        "to: peer, at:",
        "«at:",
        "connection 'me' has a fixed address, so this would ask the same node; write to: peer",
    ),
    Mistake("tools.yaml", 'to: peer, at: "{{ item }}", resp:', "to: peer, «resp:", "connection 'peer' needs at:"),
    Mistake(
        "tools.yaml",
        "call: leader, with: {part: replication}",
        "call: «leader",
        "leader uses arg.part, which is not given; write with: {part: …}",
    ),
    Mistake("tools.yaml", "arg.seconds | int", "arg.«second | int", "arg has no 'second'; did you mean seconds?"),
    Mistake("tools.yaml", "fail: it loads", 'fail: "{{ «arg.why }}"', "nobody gives tool ready arguments"),
    Mistake("tools.yaml", "fail: it loads", 'fail: "{{ «item }}"', "it is known in a step with forEach or firstOf"),
    Mistake(
        "tools.yaml",
        "{when: leads and info.loading,",
        "{when: «said == 'ok',",
        "no step before this one in tool ready names it",
    ),
    Mistake(
        "tools.yaml",
        "    - {call: state, as: info}\n    - {when: leads and info.loading",
        "    - {when: «leads",
        "vars.leads asks for 'info'",
    ),
    Mistake(
        "tools.yaml",
        "fail: it loads",
        'fail: "{{ «secret.password }}"',
        "a secret must not reach a command line or a log",
    ),
    Mistake(
        "tools.yaml", "config.motto | quoted", "config.«motto", "the parameter may have spaces, quotes or a # in it"
    ),
    Mistake(
        "tools.yaml",
        "  leads: info.role",
        "  «spare: peers | length\n  leads: info.role",
        "used by no expression; remove it",
    ),
    Mistake(
        "tools.yaml", "  leader:\n", "  «spare: {steps: [{fail: never}]}\n  leader:\n", "called by no step; remove it"
    ),
    Mistake(
        "tools.yaml", "  leads: info.role == 'primary'", "  leads: «leads and info.role == 'primary'", "asks for itself"
    ),
    Mistake(
        "tools.yaml", "as: said, expect: said is", "«as: node, expect: node is", "'node' is the platform's own name"
    ),
    Mistake(
        "tools.yaml",
        "connections:\n  me",
        "«extends: base.yaml\nconnections:\n  me",
        "file 'base.yaml' is not in the plugin",
    ),
    Mistake(
        "tools.yaml",
        "  unfence:\n",
        "  unfence:\n    only: topology == 'pair' and «last.role\n",
        "is decided when the node is rendered",
    ),
    Mistake(
        "tools.yaml",
        "  unfence:\n",
        "  unfence:\n    «beforeRestart: true\n",
        "this field is of reloadConfig only; leave it out",
    ),
    Mistake("tools.yaml", "  unfence:\n", "  unfence:\n    «once: component\n", "this field is of forget, join only"),
    Mistake(
        "tools.yaml",
        "  unfence:\n",
        "  validateConfig: {steps: [{run: {argv: [kiosk, \"{{ arg['«/middleware/kiosk.cnf'] }}\"]}}]}\n  unfence:\n",
        "arg has no '/middleware/kiosk.cnf'; did you mean /middleware/kiosk.conf?",
    ),
]
