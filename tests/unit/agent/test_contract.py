"""The agents' plain dataclasses understand what the platform's models write, and a platform one version newer."""

from __future__ import annotations

import json
import tomllib
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import VERSION
from agent.document import EngineVersion, Lease, Member, Step
from agent.documents import DocumentError, parse
from agent.engine import versions as agent_versions
from agent.engine.data_version import readable
from agent.process.state import State
from agent.serving import identity
from agent.settings import Settings
from agent.tooling import quoting as agent_quoting
from api import names, node
from api.plugin import RuntimeVersion
from proto import agent_pb2 as pb
from render.plugin import quoting, versions
from render.plugin.bundle import PluginBundle
from render.validation.transitions import unreadable
from tests.unit.agent.support import REPOSITORY

_VERSIONS = st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,2}){0,3}(-?(rc|beta|alpha)\.?[0-9]?)?(\+x)?", fullmatch=True)
PROCESS = {
    "command": ["/bin/engine"],
    "workingDirectory": "/middleware/data",
    "directories": ["data"],
    "pidFiles": ["engine.pid"],
    "startSeconds": 2,
    "stop": {"signal": "INT", "timeout": 7},
}
STEPS = [
    {
        "name": "a",
        "run": {"argv": ["/bin/true"], "env": {"A": "b"}, "stdin": "in", "exitCodes": [0, 3]},
        "optional": True,
    },
    {
        "tcp": {"address": "h:1", "send": "x", "keep": True, "login": "l", "loginExpect": "ok", "loginRefused": "no"},
        "expect": "(?P<x>.)",
    },
    {
        "http": {"url": "http://h/", "status": [200, 429], "json": {"state": "a.b"}},
        "repeat": {"every": 1, "timeout": 9},
    },
    {"write": {"path": "/middleware/x", "content": "c", "mode": "0600"}, "when": {"${x}": "y"}},
    {"set": {"y": "1"}, "forEach": [1, {"k": "v"}], "timeout": 3},
    {"fail": "no", "firstOf": ["a", "b"], "table": "(?P<key>.)(?P<value>.)", "collect": {"n": "x"}},
]


def _platform_document() -> str:
    document = node.NodeDocument.model_validate(
        {
            "revision": 4,
            "hold": True,
            "node": {
                "app": "shop",
                "appUid": "u",
                "namespace": "demo",
                "component": "engine",
                "group": "main",
                "name": "shop-engine-main-0",
                "address": "198.18.0.1",
                "ordinal": 0,
            },
            "process": PROCESS,
            "files": [{"path": "/middleware/x", "source": "x", "write": "once", "mode": "0600"}],
            "tools": {"ready": {"steps": STEPS, "result": {"a": "b"}, "roles": {"master": "primary"}, "timeout": 20}},
            "roles": ["primary"],
            "writableRoles": ["primary"],
            "monitorInterval": 0.25,
            "lease": {"seconds": 4, "followers": 2},
            "members": [{"name": "shop-engine-main-1", "address": "198.18.0.2"}],
            "engines": [{"version": "1"}, {"version": "2", "upgradesFrom": ["1"]}],
        }
    )
    return document.model_dump_json(by_alias=True)


def test_every_field_the_platform_writes_arrives() -> None:
    text = _platform_document()
    document = parse({"node.json": text, "x": ""}, "it").document
    assert (document.revision, document.hold, document.monitor_interval) == (4, True, 0.25)
    assert (document.node.app_uid, document.writable_roles) == ("u", ("primary",))
    assert document.lease == Lease(seconds=4.0, followers=2)
    assert document.members == (Member("shop-engine-main-1", "198.18.0.2"),)
    assert document.engines == (EngineVersion("1"), EngineVersion("2", ("1",)))
    assert (document.process.working_directory, document.process.pid_files) == ("/middleware/data", ("engine.pid",))
    assert (document.process.start_seconds, document.process.stop.signal) == (2.0, "INT")
    run, tcp, http, write, loop, fail = document.tools["ready"].steps
    assert run.run is not None
    assert (run.name, run.run.exit_codes, run.run.stdin, run.optional) == ("a", (0, 3), "in", True)
    assert tcp.tcp is not None
    assert (tcp.tcp.keep, tcp.expect) == (True, "(?P<x>.)")
    assert (tcp.tcp.login, tcp.tcp.login_expect, tcp.tcp.login_refused) == ("l", "ok", "no")
    assert http.http is not None
    assert http.repeat is not None
    assert (http.http.json_paths, http.http.status, http.repeat.timeout) == ({"state": "a.b"}, (200, 429), 9.0)
    assert write.write is not None
    assert (write.write.mode, write.when) == ("0600", {"${x}": "y"})
    assert (loop.set, loop.for_each, loop.timeout) == ({"y": "1"}, (1, {"k": "v"}), 3.0)
    assert (fail.fail, fail.first_of, fail.table) == ("no", ("a", "b"), "(?P<key>.)(?P<value>.)")
    assert fail.collect == {"n": "x"}


def test_each_field_of_the_platforms_step_is_known_to_the_agent() -> None:
    platform = set(json.loads(_platform_document())["tools"]["ready"]["steps"][0])
    own = {"forEach" if f == "for_each" else "firstOf" if f == "first_of" else f for f in Step.__dataclass_fields__}
    assert own == platform


def test_unknown_fields_of_a_newer_platform_are_ignored() -> None:
    data = json.loads(_platform_document())
    data["novelty"] = data["process"]["novelty"] = data["tools"]["ready"]["steps"][0]["novelty"] = {"a": 1}
    assert parse({"node.json": json.dumps(data), "x": ""}, "it").document.revision == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"revision": "four"}, r"node\.json\.revision must be int, found 'four'"),
        ({"process": {}}, r"node\.json\.process\.command is missing"),
        ({"schema": 2}, "schema 2 is not understood by this agent, which knows 1"),
        (
            {"tools": {"ready": {"steps": [{"timeout": "x"}]}}},
            r"node\.json\.tools\.ready\.steps\[0\]\.timeout must be float",
        ),
    ],
)
def test_an_unusable_document_is_refused_naming_the_field(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DocumentError, match=sentence):
        parse({"node.json": json.dumps(json.loads(_platform_document()) | change), "x": ""}, "the mounted ConfigMap")


def test_a_document_without_one_of_its_files_is_refused() -> None:
    with pytest.raises(DocumentError, match="lacks the files x"):
        parse({"node.json": _platform_document()}, "what was pushed")


def test_what_both_sides_write_down_is_the_same() -> None:
    settings = Settings.from_environment({})
    assert identity.PLATFORM_IDENTITY == names.PLATFORM_IDENTITY
    assert (settings.manager_port, settings.tools_port) == (names.MANAGER_PORT, names.TOOLS_PORT)
    assert (settings.manager_health_port, settings.tools_health_port) == (
        names.MANAGER_HEALTH_PORT,
        names.TOOLS_HEALTH_PORT,
    )
    assert {s.value: s.name for s in State if s is not State.UNKNOWN} == {
        number: name for name, number in pb.ProcessState.items() if number
    }
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION


@pytest.mark.parametrize("text", ["plain", 'a "b"', "a\\b", "a\nb\r\t\x00\x7f", "ü€😀", " =:#!"])
def test_a_value_is_quoted_by_the_agent_as_by_the_platform(text: str) -> None:
    assert agent_quoting.QUOTINGS.keys() == quoting.QUOTINGS.keys()
    for name, quote in agent_quoting.QUOTINGS.items():
        assert quote(text) == quoting.QUOTINGS[name](text)


@given(st.lists(_VERSIONS, min_size=2, max_size=2))
def test_agents_and_platform_compare_versions_alike(pair: list[str]) -> None:
    one, other = pair
    assert (agent_versions.version_key(one) < agent_versions.version_key(other)) == (
        versions.version_key(one) < versions.version_key(other)
    )
    assert agent_versions.version_key(one) == versions.version_key(one)


@given(st.sampled_from(["6.0", "7.0", "8.0"]), st.sampled_from(["6.0", "7.0", "8.0"]), st.none() | st.just(["7.0"]))
def test_agents_and_platform_allow_the_same_versions(data: str, version: str, allowed: list[str] | None) -> None:
    """The platform refuses before anything starts what the agent would."""
    platform = [{"version": each, "images": {"e": "e"}, "upgradesFrom": allowed} for each in ("6.0", "7.0", "8.0")]
    bundle = SimpleNamespace(
        plugin=SimpleNamespace(spec=SimpleNamespace(runtime_versions=[*map(RuntimeVersion.model_validate, platform)]))
    )
    engines = [EngineVersion(each, tuple(allowed) if allowed else None) for each in ("6.0", "7.0", "8.0")]
    assert readable(engines, data, version) == (not unreadable(cast(PluginBundle, bundle), data, version))
