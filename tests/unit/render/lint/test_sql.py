"""What an author of a plugin for a database hears of mistakes in statements, before any of them reaches an engine."""

from __future__ import annotations

import pytest

from render.lint.plugin import errors, lint
from tests.unit.render.lint.kiosk import FILES

CONNECTIONS = """\
  db: {mysql: "unix:/middleware/mysql.sock", user: root, database: mysql, keep: true}
  pg: {postgresql: "{{ at }}:5432", user: admin, password: "{{ secret.password }}"}
"""
GOOD = """\
  nightly:
    steps:
    - mysql: SHOW {{ status }} STATUS
      as: rows
    - forEach: arg
      mysql: SET GLOBAL :"name" = :value
      args: {name: "{{ item.name }}", value: "{{ item.value }}"}
    - postgresql:
      - ALTER ROLE :"user" PASSWORD :password
      - SELECT ':colon' AS text, 1::int AS one -- :comment
      at: "{{ node.address }}"
      args: {user: app, password: "{{ secret.password }}"}
      optional: true
      as: answer
    - {when: answer is failed and answer.sqlstate == '57P03', fail: "{{ answer.message }}"}
    result: {seconds: "{{ rows[0].Seconds_Behind_Source }}"}
"""
VARS = """\
  status: "'REPLICA' if runtimeVersion is version('>=2') else 'SLAVE'"
"""


def files(tools: str = GOOD, connections: str = CONNECTIONS) -> dict[str, str]:
    text = FILES["tools.yaml"]
    text = text.replace("connections:\n", f"connections:\n{connections}")
    return {**FILES, "tools.yaml": text.replace("vars:\n", f"vars:\n{VARS}") + tools}


def heard(tools: str, connections: str = CONNECTIONS) -> str:
    return "\n".join(map(str, errors(lint(files(tools, connections)))))


def test_good_statements_are_heard_nothing_of() -> None:
    assert lint(files()) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("= :value", "= {{ item.value }}", "what an expression gives would be read as SQL; write :name in its place"),
        ("= :value", "= '{{ item.value | quoted }}'", "what an expression gives would be read as SQL"),
        ("{{ status }}", "{{ status ~ arg }}", "what an expression gives would be read as SQL"),
        ("{{ status }}", "{{ config.motto }}", "what an expression gives would be read as SQL"),
        ("PASSWORD :password", "PASSWORD '{{ secret.password }}'", "'secret' is not known here"),
        ("= :value", "= :vlaue", "args has no 'vlaue', which the statement asks for; did you mean value?"),
        ("PASSWORD :password", "PASSWORD ':password'", "no statement has :password, outside of quotes and comments"),
        ("PASSWORD :password", "PASSWORD ':password", "opens ' and does not close it"),
        ("args: {user: app", "args: {user: '{{ ap }}'", "nothing is called 'ap' here"),
        ("      at: ", "      to: db\n      at: ", "connection 'db' is not for postgresql"),
        ("      as: answer", "      as: [a, b, c]", "as: has 3 names for 2 statements"),
        ("      as: rows", "      as: none", "'none' is a value of its own in expressions"),
        (
            "- mysql: SHOW",
            "- resp: [INFO]\n      args: {a: 1}\n    - mysql: SHOW",
            "args: is what is put into statements",
        ),
    ],
)
def test_a_mistake_in_a_statement_is_found(right: str, wrong: str, said: str) -> None:
    assert right in GOOD
    assert said in heard(GOOD.replace(right, wrong, 1))


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("user: root, ", "", "user: is missing; name with whom mysql or postgresql is asked"),
        ('password: "{{ secret.password }}"', 'password: "{{ secret.pasword }}"', "secret has no 'pasword'"),
        ("user: admin", "user: '{{ admin }}'", "nothing is called 'admin' here"),
        ("user: root", "login: [root], user: root", "login: is known for resp only; mysql and postgresql have user"),
        ('mysql: "unix:', 'tcp: "unix:', "user: is known for mysql and postgresql only"),
    ],
)
def test_a_mistake_in_a_connection_is_found(right: str, wrong: str, said: str) -> None:
    assert right in CONNECTIONS
    assert said in heard(GOOD, CONNECTIONS.replace(right, wrong, 1))
