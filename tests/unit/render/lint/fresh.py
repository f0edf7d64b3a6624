"""Twelve more mistakes of an author: names, files and commands."""

from __future__ import annotations

from tests.unit.render.lint.kiosk import Mistake

UNPAUSE = "argv: [kiosk-cli, unpause]"
FRESH = [
    Mistake(
        "plugin.yaml",
        "command: [kiosk, /middleware/kiosk.conf]",
        "command: [kiosk, «/middleware/kisk.conf]",
        "nothing writes /middleware/kisk.conf; did you mean /middleware/kiosk.conf?",
    ),
    Mistake(
        "plugin.yaml",
        "[{name: password}]",
        "[{name: password, unwritable: [{signs: x, «topologies: [pare], reason: so}]}]",
        "there is no topology 'pare'; did you mean pair?",
    ),
    Mistake(
        "plugin.yaml",
        "  components:\n  - name: kiosk\n",
        "  components:\n  - {«name: spare, image: kiosk, process: {command: [a]}, ports: [{name: a, port: 1}], "
        "parameters: parameters.yaml, files: [{path: /middleware/a, template: kiosk.conf.j2}],\n    "
        "tools: tools.yaml}\n  - name: kiosk\n",
        "no topology has the component 'spare'",
    ),
    Mistake("plugin.yaml", "- name: alone", "- «name: pair", "'pair' stands twice"),
    Mistake(
        "plugin.yaml",
        '  - {version: "2"',
        '  - {«version: "1", images: {kiosk: "kiosk:3"}}\n  - {version: "2"',
        "'1' stands twice",
    ),
    Mistake("plugin.yaml", "{name: replica}]", "{name: replica}, {«name: primary}]", "'primary' stands twice"),
    Mistake("plugin.yaml", "[{name: password}]", "[{name: password}, {«name: password}]", "'password' stands twice"),
    Mistake(
        "plugin.yaml",
        "[{name: kiosk, replicas: 2}]",
        "[{name: kiosk, replicas: 2}, {«name: kiosk}]",
        "'kiosk' stands twice",
    ),
    Mistake("tools.yaml", "{resp: [INFO, replication]", "{«resp: [INFO replication]", "write [INFO, replication, …]"),
    Mistake("tools.yaml", UNPAUSE, "«argv: [kiosk-cli unpause]", "write [kiosk-cli, unpause, …]"),
    Mistake("tools.yaml", UNPAUSE, "«argv: [kiosk-cli, unpause, '|', grep, OK]", "'|' is for a shell"),
    Mistake("tools.yaml", UNPAUSE, "«argv: [kiosk-cli, unpause, 2>&1]", "'2>&1' is for a shell"),
]
