"""The agents' plain dataclasses understand what the platform's models write, and a platform one version newer."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from agent import VERSION
from agent.decoding import decode
from agent.document import Connection as AgentConnection
from agent.document import EngineVersion, Lease, Member, Undo
from agent.document import HttpAction as AgentHttp
from agent.document import ReloadAction as AgentReload
from agent.document import RestartAction as AgentRestart
from agent.document import RunAction as AgentRun
from agent.document import Sequence as AgentSequence
from agent.document import Step as AgentStep
from agent.document import TcpAction as AgentTcp
from agent.document import Tool as AgentTool
from agent.document import Toolbox as AgentToolbox
from agent.document import WriteAction as AgentWrite
from agent.documents import DocumentError, parse
from agent.engine.data_version import readable
from agent.nodefiles import CLOSE, OPEN
from agent.process.state import State
from agent.serving import identity
from agent.settings import Settings
from api import names, node
from api.plugin import RuntimeVersion
from api.tools import (
    Connection,
    HttpAction,
    ReloadAction,
    RestartAction,
    RunAction,
    Sequence,
    Step,
    TcpAction,
    Tool,
    Toolbox,
    WriteAction,
)
from api.tools import Undo as Undo_
from proto import agent_pb2 as pb
from render.manifests.node import toolbox_document, written_document
from render.plugin import at_start
from render.plugin.bundle import PluginBundle
from render.validation.transitions import unreadable
from tests.unit.agent.support import REPOSITORY

PROCESS = {
    "command": ["/bin/engine"],
    "workingDirectory": "/middleware/data",
    "directories": ["data"],
    "pidFiles": ["engine.pid"],
    "startSeconds": 2,
    "stop": {"signal": "INT", "timeout": 7},
}
ACTION = {
    "resp": ["PING"],
    "mysql": "SELECT :x",
    "postgresql": ["SELECT :x", "SELECT 2"],
    "tcp": {"send": "x", "end": "y", "parse": "lines"},
    "http": {
        "path": "/x", "method": "POST", "headers": {"a": "b"}, "body": "c", "status": [200, 429], "parse": "json",
    },
    "run": {"argv": ["/bin/true", 1], "env": {"A": "b"}, "stdin": "in", "exitCodes": [0, 3], "parse": "keyValue"},
    "write": {"path": "/middleware/x", "content": "c", "mode": "0600"},
    "restart": {},
    "reload": {"signal": "USR2"},
    "set": {"a": None},
    "fail": "no",
    "call": "found",
    "steps": [{"fail": "inner"}],
}  # fmt: skip
MODIFIERS = {
    "name": "a", "when": "b", "to": "me", "at": "c", "reply": ["table"], "refusals": "value", "as": ["d", "e"],
    "expect": "g", "until": "h", "otherwise": "i", "error": "j",
    "every": 0.25, "within": 9.0, "optional": True, "timeout": 3.0,
    "else": [{"fail": "other"}], "onFailure": [{"fail": "third"}], "asks": True,
}  # fmt: skip
STEPS = [
    *({name: value} for name, value in ACTION.items()),
    MODIFIERS | {"forEach": "f", "into": "all", "call": "found", "with": {"x": 1}},
    {"mysql": "SELECT :x", "args": {"x": None}},
    {"firstOf": "f", "fail": "x", "asks": False},
]
TOOLBOX = {
    "connections": {
        "me": {"resp": "127.0.0.1:1", "login": ["{{ secret.password }}"], "keep": True},
        "line": {"tcp": "127.0.0.1:2"},
        "web": {"http": "127.0.0.1:3"},
        "sql": {"mysql": "127.0.0.1:4", "user": "u", "password": "p", "database": "d"},
        "pg": {"postgresql": "unix:/x", "user": "u"},
    },
    "vars": {"one": "1 + 1", "two": 2, "yes": True},
    "sequences": {"found": {"steps": [{"fail": "x"}], "result": "{{ 1 }}"}},
    "tools": {
        "ready": {"steps": STEPS, "result": {"a": "b"}, "timeout": 20, "undo": {"tool": "unready", "after": "3"}},
        "unready": {"steps": [{"fail": "x"}]},
    },
}


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
            "toolbox": TOOLBOX,
            "names": {"topology": "one", "bootstrap": None},
            "roles": ["primary"],
            "writableRoles": ["primary"],
            "monitorInterval": 0.25,
            "lease": {"seconds": 4, "followers": 2},
            "members": [{"name": "shop-engine-main-1", "address": "198.18.0.2"}],
            "engines": [{"version": "1"}, {"version": "2", "upgradesFrom": ["1"]}],
        }
    )
    return json.dumps(written_document(document))


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
    assert document.names == {"topology": "one", "bootstrap": None}
    ready = document.tools["ready"]
    assert (ready.result, ready.timeout, ready.undo) == ({"a": "b"}, 20.0, Undo("unready", "3"))


def _tree(value: Any) -> Any:
    """A dataclass of the agent or a model of the platform as plain values, by the names that both have."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _tree(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, BaseModel):
        found = {name: _tree(getattr(value, name)) for name in type(value).model_fields}
        return {name: each for name, each in found.items() if name not in FOR_THE_PLATFORM[type(value).__name__]}
    if isinstance(value, Mapping):
        return {name: _tree(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_tree(each) for each in value]
    return None if value == "" else value


FOR_THE_PLATFORM: dict[str, tuple[str, ...]] = defaultdict(
    tuple[str, ...],
    {
        "Toolbox": ("extends",),
        "Tool": ("only", "once", "before_restart", "start", "poll", "cancel", "stalls"),
        "Undo": ("when",),
    },
)


def _none(value: Any) -> Any:
    """The agent has an empty list or text where the platform says None."""
    if isinstance(value, dict):
        return {name: _none(each) for name, each in value.items() if _none(each) not in (None, [], {})}
    return [_none(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("steps", [[step] for step in STEPS], ids=lambda steps: next(iter(steps[0])))
def test_the_agent_reads_each_step_and_each_default_as_the_platform_means_it(steps: list[dict[str, Any]]) -> None:
    """What is as it is by default is not written: a default of the platform's that the agents do not have would be
    another time-out or another action in each Pod."""
    box = Toolbox.model_validate(TOOLBOX | {"tools": {"ready": {"steps": steps}}})
    read = decode(AgentToolbox, json.loads(json.dumps(toolbox_document(box))), "toolbox")
    assert _none(_tree(read)) == _none(_tree(box))


def test_each_field_of_the_platforms_tool_language_is_known_to_the_agent() -> None:
    for model, own in (
        (Step, AgentStep), (Toolbox, AgentToolbox), (Tool, AgentTool), (Undo_, Undo), (Sequence, AgentSequence),
        (Connection, AgentConnection), (RunAction, AgentRun), (TcpAction, AgentTcp), (HttpAction, AgentHttp),
        (WriteAction, AgentWrite), (RestartAction, AgentRestart), (ReloadAction, AgentReload),
    ):  # fmt: skip
        fields = {each for each in model.model_fields if each not in FOR_THE_PLATFORM[model.__name__]}
        assert {each.name for each in dataclasses.fields(own)} == fields
    assert {*ACTION} | {*MODIFIERS, "args", "forEach", "firstOf", "into", "with"} == {
        field.alias or to_camel(name) for name, field in Step.model_fields.items()
    }, "every field has a value here"


def test_each_part_of_a_long_tool_is_a_tool_of_the_agents() -> None:
    step = {"fail": "x"}
    poll = {"timeout": 7, "every": 60, "steps": [step], "result": {"state": "idle", "progress": 0, "eta": "{{ 3 }}"}}
    long = {"start": {"timeout": 30, "steps": [step]}, "poll": poll, "cancel": {"steps": [step]}, "stalls": 120}
    box = Toolbox.model_validate({"tools": {"leave": long, "ready": {"steps": [step]}}})
    read = decode(AgentToolbox, json.loads(json.dumps(toolbox_document(box))), "toolbox")
    assert {name: each.timeout for name, each in read.tools.items()} == {
        "leave.start": 30, "leave.poll": 7, "leave.cancel": 10, "ready": 10,
    }  # fmt: skip
    assert read.tools["leave.poll"].result == {"state": "idle", "progress": 0, "eta": "{{ 3 }}"}


def test_a_document_leaves_out_what_is_as_it_is_by_default() -> None:
    text = json.dumps(json.loads(_platform_document())["toolbox"]["tools"]["unready"])
    assert text == '{"steps": [{"fail": "x"}]}'


def test_unknown_fields_of_a_newer_platform_are_ignored() -> None:
    data = json.loads(_platform_document())
    data["novelty"] = data["process"]["novelty"] = data["toolbox"]["tools"]["ready"]["steps"][0]["novelty"] = {"a": 1}
    assert parse({"node.json": json.dumps(data), "x": ""}, "it").document.revision == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"revision": "four"}, r"node\.json\.revision must be int, found 'four'"),
        ({"process": {}}, r"node\.json\.process\.command is missing"),
        ({"schema": 2}, "schema 2 is not understood by this agent, which knows 1"),
        (
            {"toolbox": {"tools": {"ready": {"steps": [{"timeout": "x"}]}}}},
            r"node\.json\.toolbox\.tools\.ready\.steps\[0\]\.timeout must be float",
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
    assert (OPEN, CLOSE) == (at_start.OPEN, at_start.CLOSE)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION


@given(st.sampled_from(["6.0", "7.0", "8.0"]), st.sampled_from(["6.0", "7.0", "8.0"]), st.none() | st.just(["7.0"]))
def test_agents_and_platform_allow_the_same_versions(data: str, version: str, allowed: list[str] | None) -> None:
    """The platform refuses before anything starts what the agent would."""
    platform = [{"version": each, "images": {"e": "e"}, "upgradesFrom": allowed} for each in ("6.0", "7.0", "8.0")]
    bundle = SimpleNamespace(
        plugin=SimpleNamespace(spec=SimpleNamespace(runtime_versions=[*map(RuntimeVersion.model_validate, platform)]))
    )
    engines = [EngineVersion(each, tuple(allowed) if allowed else None) for each in ("6.0", "7.0", "8.0")]
    assert readable(engines, data, version) == (not unreadable(cast(PluginBundle, bundle), data, version))
