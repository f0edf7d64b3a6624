"""Both agents with a real redis-server: what a deploy, a failover and a reconfiguration ask of them."""

from __future__ import annotations

import shutil
from typing import Any

import grpc
import pytest
import redis.asyncio
from grpc import aio

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.unit.agent.support import Manager, Node, at_start, eventually, fetch, free_port, pushed, write_secret

PASSWORD = "correct-horse-battery-staple"


def _document(node: Node, port: int, **changes: Any) -> dict[str, Any]:
    server = shutil.which("redis-server")
    assert server, "these tests need redis-server on PATH (Debian: apt-get install redis-server)"
    tools = {
        "ready": {"steps": [{"resp": ["PING"], "as": "pong", "expect": "pong == 'PONG'", "timeout": 1}]},
        "getRole": {
            "steps": [{"resp": ["INFO", "replication"], "as": "info"}],
            "result": {
                "role": "{{ 'primary' if info.role == 'master' else 'replica' }}",
                "position": "{{ info.master_repl_offset }}",
            },
        },
        "takesWrites": {
            "steps": [{"resp": ["SETRANGE", "-", 0, ""], "refusals": "value", "as": "answer"}],
            "result": {
                "writes": "{{ 'refused' if answer is failed else 'accepted' }}",
                "refusal": "{{ answer.error if answer is failed else '' }}",
            },
        },
        "failover": {"steps": [{"resp": ["REPLICAOF", "{{ arg.host }}", "{{ arg.port }}"]}]},
        "reloadConfig": {
            "steps": [
                {"forEach": "arg", "resp": ["CONFIG", "SET", "{{ item.name }}", "{{ item.value }}"], "timeout": 0.5}
            ]
        },
        "readConfig": {
            "steps": [
                {
                    "forEach": "['maxmemory', 'requirepass']",
                    "resp": ["CONFIG", "GET", "{{ item }}"],
                    "as": "found",
                    "into": "all",
                }
            ],
            "result": "{{ all | merged }}",
        },
    }
    return node.document(
        process={"command": [server, str(node.data / "redis.conf")], "startSeconds": 0.2},
        tools=tools,
        connections={"me": {"resp": f"127.0.0.1:{port}", "login": ["{{ secret.password }}"], "keep": True}},
        roles=["primary", "replica"],
        writableRoles=["primary"],
        files=[{"path": "/middleware/redis.conf", "source": "redis.conf", "write": "always", "mode": "0600"}],
        **changes,
    )


def _configuration(node: Node, port: int, maxmemory: str = "64mb") -> str:
    return (
        f"port {port}\nbind 127.0.0.1\ndir {node.data}\nrequirepass {at_start('secret.password')}\n"
        f'maxmemory {maxmemory}\nsave ""\n# started on {at_start("node.name")}, first: {at_start("node.first")}\n'
    )


@pytest.fixture
async def port(node: Node, manager: Manager) -> int:
    """A node whose two agents run a Redis on this port."""
    port = free_port()
    (node.root / "secrets" / "password").write_text(PASSWORD + "\n")
    node.mount(_document(node, port), **{"redis.conf": _configuration(node, port)})
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    answers: list[tuple[int, str]] = []

    async def ready() -> bool:
        answers.append(await fetch(node.tools_health_port, "/readyz"))
        return answers[-1][0] == 200

    try:
        await eventually(ready, what="/readyz of agent 2")
    except AssertionError as failure:
        raise AssertionError(f"{failure}; it answered {answers[-1]}") from None
    return port


async def test_role_position_and_readiness_are_reported_and_remembered(
    node: Node, manager: Manager, tools: agent_pb2_grpc.ToolsAsyncStub, port: int
) -> None:
    report = await tools.GetRole(pb.GetRoleRequest(), timeout=20)
    assert (report.node, report.role, report.ready, report.process) == (
        "shop-engine-main-0",
        "primary",
        True,
        pb.RUNNING,
    )
    assert report.epoch > 1_600_000_000_000, "without an epoch of the engine: the time when the role was taken"

    async def recorded() -> pb.VolumeRecord | None:
        volume = (await manager.status()).volume
        return volume if volume.present else None

    record = await eventually(recorded)
    assert (record.present, record.app_uid, record.role) == (True, "uid-1", "primary")
    assert record.last_writable == record.last_seen > 0
    assert PASSWORD in (node.data / "redis.conf").read_text()
    assert "first: true" in (node.data / "redis.conf").read_text()
    assert (node.data / "redis.conf").stat().st_mode & 0o777 == 0o600


async def test_a_password_that_no_longer_opens_the_engine_is_told_within_seconds_and_the_role_goes_on_being_told(
    node: Node, tools: agent_pb2_grpc.ToolsAsyncStub, port: int
) -> None:
    async def refused() -> bool:
        report = await tools.GetRole(pb.GetRoleRequest(), timeout=20)
        assert (report.role, report.ready) == ("primary", True), "the connection that is open stays"
        return report.credentials_refused

    assert not await refused()
    (node.root / "secrets" / "password").unlink()
    write_secret(node.root / "secrets", {"password": b"another"})
    await eventually(refused, within=8, what="the engine does not accept the Secret's password")
    write_secret(node.root / "secrets", {"password": PASSWORD.encode()})

    async def accepted() -> bool:
        return not await refused()

    await eventually(accepted, within=8, what="it does again")


async def test_an_edited_password_is_told_and_closes_nothing(
    node: Node, tools: agent_pb2_grpc.ToolsAsyncStub, port: int
) -> None:
    (node.root / "secrets" / "password").unlink()
    write_secret(node.root / "secrets", {"password": b"somebodys-own", "password.used": PASSWORD.encode()})
    client = redis.asyncio.Redis(port=port, password=PASSWORD)
    await client.client_kill_filter(_type="normal", skipme=True)
    await client.aclose()

    async def told() -> bool:
        report = await tools.GetRole(pb.GetRoleRequest(), timeout=20)
        assert (report.role, report.ready, report.credentials_refused) == ("primary", True, False)
        return bool(report.credentials_changed)

    await eventually(told, within=8, what="the Secret holds another password than the one in use")


async def test_a_tool_waits_for_the_secret_that_it_is_to_work_by(
    node: Node, tools: agent_pb2_grpc.ToolsAsyncStub, port: int
) -> None:
    async def run() -> pb.ToolResult:
        request = pb.RunRequest(tool="ready", credentials="accept 1")
        return [output.result async for output in tools.Run(request, timeout=20)][-1]

    with pytest.raises(aio.AioRpcError, match="not as of 'accept 1' yet") as caught:
        await run()
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    (node.root / "secrets" / ".rotation").write_text("accept 1")
    assert (await run()).success


async def test_a_password_that_is_refused_on_a_new_connection_is_told_as_that(
    node: Node, tools: agent_pb2_grpc.ToolsAsyncStub, port: int
) -> None:
    (node.root / "secrets" / "password").write_text("another")
    client = redis.asyncio.Redis(port=port, password=PASSWORD)
    await client.client_kill_filter(_type="normal", skipme=True)
    await client.aclose()

    async def refused() -> bool:
        report = await tools.GetRole(pb.GetRoleRequest(), timeout=20)
        return bool(report.credentials_refused and not report.ready)

    await eventually(refused, within=8, what="the engine does not accept the Secret's password")


async def test_whether_writes_are_taken_is_told_with_the_engines_own_words(
    node: Node, tools: agent_pb2_grpc.ToolsAsyncStub, port: int
) -> None:
    client = redis.asyncio.Redis(port=port, password=PASSWORD)

    async def says(writes: pb.Writes.ValueType) -> bool:
        report = await tools.GetRole(pb.GetRoleRequest(), timeout=20)
        return report.writes == writes and report.refusal.startswith("NOREPLICAS") is (writes == pb.WRITES_REFUSED)

    await eventually(lambda: says(pb.WRITES_ACCEPTED), what="it takes writes")
    await client.config_set("min-replicas-to-write", 1)
    await eventually(lambda: says(pb.WRITES_REFUSED), within=8, what="it says that it refuses them")
    await client.config_set("min-replicas-to-write", 0)
    await eventually(lambda: says(pb.WRITES_ACCEPTED), within=8, what="it takes writes again")
    assert await client.dbsize() == 0
    await client.aclose()


async def test_failover_changes_the_role_and_everybody_watching_hears_of_it(
    node: Node, tools: agent_pb2_grpc.ToolsAsyncStub, port: int
) -> None:
    watch = tools.WatchRole(pb.GetRoleRequest())
    first = await anext(aiter(watch))
    assert first.role == "primary"
    request = pb.FailoverRequest(request_id="run/1", arguments={"host": "127.0.0.1", "port": str(free_port())})
    result = await tools.Failover(request, timeout=10)
    assert result.success, result.message
    async for report in watch:
        assert report.sequence > first.sequence
        assert report.incarnation == first.incarnation
        if report.role == "replica":
            assert report.epoch >= first.epoch
            break
    watch.cancel()
    assert await tools.Failover(request, timeout=10) == result


async def test_a_dynamic_parameter_is_applied_kept_for_the_next_start_and_read_back_without_secrets(
    node: Node, manager: Manager, tools: agent_pb2_grpc.ToolsAsyncStub, port: int
) -> None:
    files = pushed(_document(node, port, revision=2), **{"redis.conf": _configuration(node, port, "128mb")})
    result = await tools.ReloadConfig(
        pb.ReloadConfigRequest(request_id="run/2", files=files, parameters={"maxmemory": "128mb"}), timeout=10
    )
    assert result.success, result.message
    assert result.config == {"maxmemory": str(128 * 1024 * 1024), "requirepass": "***"}
    assert "maxmemory 128mb" in (node.data / "redis.conf").read_text()
    assert (await manager.status()).revision == 2
    await manager.stub.Restart(pb.RestartRequest(request_id="run/3"), timeout=20)
    assert "maxmemory 128mb" in (node.data / "redis.conf").read_text()
    assert "first: false" in (node.data / "redis.conf").read_text()


async def test_a_refused_parameter_leaves_the_former_files(
    node: Node, manager: Manager, tools: agent_pb2_grpc.ToolsAsyncStub, port: int
) -> None:
    files = pushed(_document(node, port, revision=2), **{"redis.conf": _configuration(node, port, "lots")})
    result = await tools.ReloadConfig(
        pb.ReloadConfigRequest(request_id="run/4", files=files, parameters={"maxmemory": "lots"}), timeout=10
    )
    assert not result.success
    assert "step 1" in result.message
    assert "argument must be a memory value" in result.message
    assert PASSWORD not in result.message
    assert "maxmemory 64mb" in (node.data / "redis.conf").read_text()
    assert (await manager.status()).revision == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('save "0 1"', "Invalid save parameters"),
        ("notify-keyspace-events never", "Invalid event class character"),
        (
            f"requirepass {at_start('secret.password')} {at_start('secret.password')}",
            ">>> 'requirepass *** ***' | wrong number of arguments",
        ),
    ],
)
async def test_what_only_the_engine_refuses_is_told_in_its_own_words_until_it_is_corrected(
    node: Node, manager: Manager, tools: agent_pb2_grpc.ToolsAsyncStub, port: int, line: str, said: str
) -> None:
    wrong = _configuration(node, port) + line + "\n"
    files = pushed(_document(node, port, revision=2), **{"redis.conf": wrong})
    assert (await tools.ReloadConfig(pb.ReloadConfigRequest(files=files), timeout=10)).success
    await manager.stub.Restart(pb.RestartRequest(), timeout=20)

    async def told() -> bool:
        report = await anext(aiter(tools.WatchRole(pb.GetRoleRequest())))
        assert PASSWORD not in report.message
        return report.keeps_ending and said in report.message

    await eventually(told)
    status = await manager.reaches(pb.CRASH_LOOP)
    assert status.last_end.exit_code == 1
    assert said in status.last_end.output
    assert PASSWORD not in str(status)
    files = pushed(_document(node, port, revision=3), **{"redis.conf": _configuration(node, port)})
    assert (await tools.ReloadConfig(pb.ReloadConfigRequest(files=files), timeout=10)).success
    await manager.reaches(pb.RUNNING)


async def test_without_a_running_engine_calls_say_its_state_and_a_push_still_writes(
    node: Node, manager: Manager, tools: agent_pb2_grpc.ToolsAsyncStub, port: int
) -> None:
    await manager.stub.Stop(pb.StopRequest(), timeout=20)

    async def unready() -> bool:
        return (await fetch(node.tools_health_port, "/readyz"))[0] == 503

    await eventually(unready)
    with pytest.raises(Exception, match="FAILED_PRECONDITION") as refused:
        await tools.GetRole(pb.GetRoleRequest(), timeout=20)
    assert "STOPPED" in str(refused.value)
    files = pushed(_document(node, port, revision=2), **{"redis.conf": _configuration(node, port, "32mb")})
    result = await tools.ReloadConfig(pb.ReloadConfigRequest(files=files), timeout=10)
    assert result.success
    assert "maxmemory 32mb" in (node.data / "redis.conf").read_text()
    status = await manager.stub.Start(pb.StartRequest(), timeout=20)
    assert (status.state, status.revision) == (pb.RUNNING, 2)


async def test_no_secret_reaches_a_log(node: Node, port: int) -> None:
    assert PASSWORD not in node.agent_log.read_text()
    assert PASSWORD not in node.log.read_text()
    assert "Ready to accept connections" in node.log.read_text()
