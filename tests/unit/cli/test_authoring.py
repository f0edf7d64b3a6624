"""What an author of a plugin does at the desk: no cluster is there."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.authoring.example import example, node_files
from cli.main import app
from render.plugin.bundle import load_folder
from render.plugin.yaml_text import load_yaml
from render.validation.app import parse_app, validate
from tests.unit.plugins.support import PLUGINS
from tests.unit.render.lint.kiosk import FILES, TWELVE, with_mistakes

runner = CliRunner()


@pytest.fixture
def kiosk(tmp_path: Path) -> Path:
    folder = tmp_path / "kiosk"
    write(folder, FILES)
    return folder


def write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_lint_says_each_mistake_as_editors_read_it(kiosk: Path) -> None:
    files, places = with_mistakes(TWELVE)
    write(kiosk, files)
    result = runner.invoke(app, ["plugin", "lint", str(kiosk)])
    assert result.exit_code == 1
    *lines, last = result.output.splitlines()
    assert last == "12 errors, 0 warnings: it would be refused"
    assert [line.split(": ")[0] for line in lines] == [
        f"{kiosk}/{file}:{line}:{column}" for file, line, column in places
    ]
    result = runner.invoke(app, ["plugin", "lint", str(kiosk), "-o", "json"])
    found = json.loads(result.output)
    assert [(each["file"], each["line"], each["column"]) for each in found] == places
    assert {each["level"] for each in found} == {"error"}


def test_lint_of_a_good_plugin_ends_well(kiosk: Path) -> None:
    result = runner.invoke(app, ["plugin", "lint", str(kiosk)])
    assert (result.exit_code, result.output) == (0, "0 errors, 0 warnings: it may be installed\n")


def test_lint_of_what_cannot_be_read_says_which_file(kiosk: Path) -> None:
    (kiosk / "image.png").write_bytes(b"\xff\xfe\x00")
    result = runner.invoke(app, ["plugin", "lint", str(kiosk)])
    assert result.exit_code == 1
    assert f"{kiosk}/image.png: is not UTF-8 text" in result.output


# mw plugin test

SHARED = """\
component: kiosk
tests:
"""
WELL = """\
- name: a primary says so
  tool: getRole
  answers: [{resp: [INFO, replication], reply: "role:master"}]
  result: {role: primary}
"""


def tried(kiosk: Path, *cases: str) -> tuple[int, str]:
    (kiosk / "tests").mkdir(exist_ok=True)
    (kiosk / "tests" / "kiosk.yaml").write_text(SHARED + "".join(cases))
    result = runner.invoke(app, ["plugin", "test", str(kiosk)])
    return result.exit_code, result.output


def test_a_plugins_own_test_passes_without_an_engine(kiosk: Path) -> None:
    assert tried(kiosk, WELL) == (0, "1 test, 0 failed\n")


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (WELL.replace("role: primary", "role: replica"), "result role should be 'replica', and is 'primary'"),
        (WELL.replace("role: primary", "rule: primary"), "result rule should be 'primary', and is not there"),
        (WELL.replace("INFO, replication", "INFO, memory"), "no answer is recorded for resp 'INFO replication' to 127"),
        (WELL.replace("INFO, replication", "INFO, memory"), "nobody asked INFO memory"),
        (
            WELL.replace('reply: "role:master"', "fails: it is asleep"),
            "it fails: tool getRole, step 1, state, step 1",
        ),
        (WELL.replace('reply: "role:master"', "reply: {error: LOADING}"), "the engine answers 'LOADING'"),
        (WELL + "  fails: it is asleep\n", "it should fail with 'it is asleep', and succeeds"),
        (WELL + "  asks: [[CONFIG, GET]]\n", "it should ask CONFIG GET; it asked INFO replication"),
        (WELL + "  writes: {/middleware/x: y}\n", "/middleware/x should hold 'y', and is not there"),
    ],
)
def test_a_test_that_fails_says_what_should_be_and_what_is(kiosk: Path, case: str, said: str) -> None:
    code, output = tried(kiosk, WELL, case)
    assert code == 1
    assert said in output
    assert f"{kiosk}/tests/kiosk.yaml:7: a primary says so: failed" in output
    assert output.endswith("2 tests, 1 failed\n")


DATABASE = {
    "connections:\n": 'connections:\n  db: {mysql: "unix:/middleware/sock", user: root}\n'
    '  pg: {postgresql: "127.0.0.1:5432", user: admin, password: "{{ secret.password }}"}\n',
    "tools:\n": """tools:
  lag:
    steps:
    - {mysql: SHOW REPLICA STATUS, as: rows}
    - {mysql: [SELECT 1 AS one, 'SET GLOBAL :"name" = :value'], args: {name: read_only, value: "{{ true }}"}}
    - {postgresql: "ALTER ROLE app PASSWORD :p", args: {p: "{{ secret.password }}"}, optional: true, as: answer}
    - {when: answer is failed, set: {state: "{{ answer.sqlstate }}"}, else: [{set: {state: well}}]}
    result: {seconds: "{{ rows[0].Seconds_Behind_Source + 1 }}", state: "{{ state }}"}
""",
}
LAG = """\
- name: a replica says how late it is
  tool: lag
  answers:
  - {mysql: SHOW REPLICA STATUS, reply: [{Seconds_Behind_Source: 6}]}
  - {mysql: SELECT 1, reply: {one: 1}}
  - {mysql: SET GLOBAL}
  - {postgresql: ALTER ROLE app PASSWORD 'secret-password', reply: {error: starting up, sqlstate: 57P03}}
  result: {seconds: 7, state: 57P03}
  asks: [SHOW REPLICA, SET GLOBAL `read_only` = TRUE, ALTER ROLE app]
"""


def test_statements_are_answered_as_recorded(kiosk: Path) -> None:
    tools = FILES["tools.yaml"]
    for before, after in DATABASE.items():
        tools = tools.replace(before, after, 1)
    write(kiosk, {**FILES, "tools.yaml": tools})
    assert tried(kiosk, LAG) == (0, "1 test, 0 failed\n")
    code, output = tried(kiosk, LAG.replace("reply: {one: 1}", "reply: {error: no more, errno: 1205}"))
    assert code == 1
    assert "statement 1: unix:/middleware/sock answers 1205: no more" in output
    assert "nobody asked SET GLOBAL, for which an answer is recorded" in output
    code, output = tried(kiosk, LAG.replace("reply: [{Seconds_Behind_Source: 6}]", "reply: six"))
    assert code == 1
    assert "reply: of mysql is a list of rows, each a map of columns; found 'six'" in output


def test_waits_take_no_time(kiosk: Path) -> None:
    tools = FILES["tools.yaml"].replace(
        "call: state, as: info}\n    result: {role",
        "call: state, as: info, until: info.role == 'master', every: 60, within: 3000, timeout: 3000}\n"
        "    timeout: 3600\n    result: {role",
    )
    write(kiosk, {**FILES, "tools.yaml": tools})
    replies = ", ".join(['"role:slave"'] * 20)
    began = time.monotonic()
    case = WELL.replace('reply: "role:master"', f'replies: [{replies}, "role:master"]')
    assert tried(kiosk, case) == (0, "1 test, 0 failed\n")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (WELL.replace("tool: getRole", "tool: getRoll"), "kiosk.yaml:4:3: tests[0].tool: the plugin has no tool"),
        (WELL.replace("tool:", "tols:"), "kiosk.yaml:4:3: tests[0].tols: this field does not exist"),
        (
            WELL.replace("resp: [INFO, replication], ", ""),
            "an answer is to exactly one of resp, mysql, postgresql, tcp, http, run",
        ),
    ],
)
def test_a_test_that_cannot_be_read_says_where(kiosk: Path, case: str, said: str) -> None:
    code, output = tried(kiosk, case)
    assert code == 1
    assert said in " ".join(output.split())


@pytest.mark.parametrize("plugin", [path.parent for path in sorted(PLUGINS.glob("*/plugin.yaml"))], ids=str)
def test_the_plugins_here_pass_lint_and_their_own_tests(plugin: Path) -> None:
    for command in ("lint", "test"):
        result = runner.invoke(app, ["plugin", command, str(plugin)])
        assert result.exit_code == 0, result.output


# mw plugin new, mw plugin render


def test_a_new_plugin_passes_lint_and_its_own_tests(tmp_path: Path) -> None:
    result = runner.invoke(app, ["plugin", "new", "cellar", "--in", str(tmp_path)])
    assert result.exit_code == 0
    folder = tmp_path / "cellar"
    for file in result.output.splitlines()[:-3]:
        assert Path(file).is_file()
    result = runner.invoke(app, ["plugin", "lint", str(folder)])
    assert (result.exit_code, result.output) == (0, "0 errors, 0 warnings: it may be installed\n")
    result = runner.invoke(app, ["plugin", "test", str(folder)])
    assert (result.exit_code, result.output) == (0, "3 tests, 0 failed\n")
    written = [path for path in folder.rglob("*.yaml") if ".schema" not in path.parts]
    for path in written:
        head = path.read_text().splitlines()[0]
        assert head.startswith("# yaml-language-server: $schema=")
        assert (path.parent / head.partition("=")[2]).is_file(), "an editor finds the schema"
    manifest = load_yaml((tmp_path / "cellar-app.yaml").read_text())
    parsed, problems = parse_app(manifest)
    assert parsed is not None
    assert [*problems, *validate(parsed, load_folder(folder), {"cellar": ["0.1.0"]})] == []


def test_a_new_plugins_engine_starts_with_its_file_and_answers_its_tools(tmp_path: Path) -> None:
    """The redis-server of this machine stands in for the engine in the image."""
    runner.invoke(app, ["plugin", "new", "cellar", "--in", str(tmp_path)])
    of = example(load_folder(tmp_path / "cellar"))
    (component,) = of.components
    data = node_files(of, component, component.nodes[0], first=True)
    conf = data["middleware__conf__cellar.conf"].replace("\ue000secret.password | quoted\ue001", '"pass"')
    (tmp_path / "cellar.conf").write_text(
        conf.replace("dir /middleware/data", f"dir {tmp_path}").replace("port 6379", f"port 0\nunixsocket {tmp_path}/s")
    )
    with subprocess.Popen(["redis-server", str(tmp_path / "cellar.conf")], stdout=subprocess.PIPE) as engine:
        try:
            assert engine.stdout is not None
            assert any(b"accept connections" in line for line in engine.stdout), "it takes every line of the file"
        finally:
            engine.terminate()
            engine.communicate(timeout=10)


@pytest.mark.parametrize(("name", "said"), [("My_Plugin", "is no name; use lower-case"), ("kiosk", "is there already")])
def test_a_new_plugin_overwrites_nothing(kiosk: Path, name: str, said: str) -> None:
    result = runner.invoke(app, ["plugin", "new", name, "--in", str(kiosk.parent)])
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())


def test_render_shows_all_files_and_objects_of_an_app(kiosk: Path) -> None:
    result = runner.invoke(app, ["plugin", "render", str(kiosk)])
    assert result.exit_code == 0
    kinds = [each["kind"] for each in yaml.safe_load_all(result.output)]
    assert kinds.count("ConfigMap") == kinds.count("Deployment") == 2
    assert "  middleware__kiosk.conf: |\n    slots 4\n" in result.output
    alone = runner.invoke(app, ["plugin", "render", str(kiosk), "--topology", "alone"])
    assert [each["kind"] for each in yaml.safe_load_all(alone.output)].count("Deployment") == 1
    wrong = runner.invoke(app, ["plugin", "render", str(kiosk), "--runtime-version", "9"])
    assert wrong.exit_code == 1
    assert "no runtime version '9'; it has 1, 2" in " ".join(wrong.output.split())


def test_render_against_another_version_shows_what_differs(kiosk: Path) -> None:
    other = kiosk.parent / "older"
    write(other, FILES)
    assert runner.invoke(app, ["plugin", "render", str(kiosk), "--against", str(other)]).exit_code == 0
    (kiosk / "kiosk.conf.j2").write_text(FILES["kiosk.conf.j2"].replace("slots", "places", 1))
    result = runner.invoke(app, ["plugin", "render", str(kiosk), "--against", str(other)])
    assert result.exit_code == 4
    assert result.stdout.count("+    places 4") == 2
    assert f"--- ConfigMap example-kiosk-nodes-0 ({other})" in result.stdout


def test_rendered_objects_are_json_for_programs_and_readable_for_people(kiosk: Path) -> None:
    result = runner.invoke(app, ["plugin", "render", str(kiosk), "-o", "json"])
    assert result.exit_code == 0, result.output
    objects = json.loads(result.output)
    assert {"ConfigMap", "Deployment"} <= {each["kind"] for each in objects}
    for form in ("json", "yaml", "diff"):
        shown = runner.invoke(app, ["plugin", "render", str(kiosk), "-o", form]).output
        assert "{{ atStart.secret.password | quoted }}" in shown
        assert not {"\ue000", "\ue001", "\\ue000"} & set(shown)
        assert "ue000" not in shown
