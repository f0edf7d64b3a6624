"""Mistakes in what reads well: each is YAML, fits the schema, and knows all its names."""

from __future__ import annotations

from tests.unit.render.lint.kiosk import Mistake

MEANT = [
    Mistake(
        "kiosk.conf.j2",
        'topology == "pair"',
        'topology == "«pear"',
        "topology is never 'pear'; did you mean pair?",
    ),
    Mistake(
        "tools.yaml",
        "  unfence:\n",
        "  unfence:\n    only: topology in ['«pairs']\n",
        "topology is never 'pairs'; did you mean pair?",
    ),
    Mistake(
        "tools.yaml",
        "leads and info.loading",
        "leads and component.name == '«kisok'",
        "component.name is never 'kisok'; did you mean kiosk?",
    ),
    Mistake(
        "tools.yaml",
        "leads and info.loading",
        "leads and «component == 'kiosk'",
        "write component.name",
    ),
    Mistake(
        "tools.yaml",
        "leads and info.loading",
        "leads and runtimeVersion == '«2.0'",
        "runtimeVersion is never '2.0'; it is one of 1, 2",
    ),
    Mistake(
        "tools.yaml",
        "leads and info.loading",
        "leads and runtimeVersion is version('«>=2.O')",
        "has a letter where a version has a number",
    ),
    Mistake(
        "tools.yaml",
        "leads and info.loading",
        "leads and last.role == '«primry'",
        "last.role is never 'primry'; did you mean primary?",
    ),
    Mistake(
        "parameters.yaml",
        "motto: {schema: {type: string}, default: open all day}",
        "motto:\n  schema: {enum: [open, shut]}\n  default: open\n  checks: [{that: value != '«shout', message: no}]",
        "value is never 'shout'; did you mean shut?",
    ),
    Mistake(
        "tools.yaml",
        "    result: {role:",
        "    result: {«positon: 5, role:",
        "the platform reads no result 'positon' of getRole; did you mean position?",
    ),
    Mistake(
        "tools.yaml",
        "  unfence:\n",
        '  getVersion:\n    steps: [{call: state, as: info}]\n    result: {«vresion: "{{ info.v }}"}\n  unfence:\n',
        "the platform reads no result 'vresion' of getVersion; did you mean version?",
    ),
    Mistake(
        "tools.yaml",
        "  unfence:\n",
        "  «getVersion:\n    steps: [{call: state, as: info}]\n  unfence:\n",
        "tool 'getVersion' has no result 'version'",
    ),
    Mistake(
        "tools.yaml",
        "    result: {role:",
        "    result: {«position: info.offset, role:",
        'is a text, not the value of info.offset, which is known here; write "{{ info.offset }}"',
    ),
    Mistake(
        "tools.yaml",
        '{follows: "{{ follows }}"}',
        "{«follows: follows}",
        'write "{{ follows }}"',
    ),
    Mistake(
        "tools.yaml",
        '    result: "{{ item }}"',
        "    «result: item",
        'write "{{ item }}"',
    ),
    Mistake(
        "tools.yaml",
        '"{{ arg.seconds | int * 1000 }}"]}',
        "«arg.seconds]}",
        'write "{{ arg.seconds }}"',
    ),
    Mistake(
        "parameters.yaml",
        "motto:",
        "«spare: {schema: {type: integer}, default: 1}\nmotto:",
        "reads config.spare: an App that sets it changes nothing",
    ),
    Mistake(
        "tools.yaml",
        "as: said, expect: said",
        "as: said, «every: 2, within: 1, until: said",
        "2 s are not less than within, 1 s: it would be tried once",
    ),
    Mistake(
        "tools.yaml",
        "as: said, expect: said",
        "as: said, «every: 20, until: said",
        "20 s are not less than the tool's timeout, 10 s",
    ),
    Mistake("tools.yaml", "as: said, expect: said", "as: said, «within: 5, expect: said", "is for until"),
    Mistake(
        "tools.yaml",
        "    - {call: leader, with: {part: replication}, as: found, optional: true}\n"
        "    - set: {follows: \"{{ 'follow ' ~ found if found else '' }}\"}",
        "    - {when: node.first, call: leader, with: {part: replication}, as: found, optional: true}\n"
        "    - set: {follows: \"{{ 'follow ' ~ «found if found else '' }}\"}",
        "'found' is there only where this holds: node.first; ask found is defined first",
    ),
]
