"""The agent's bundle holds all that the agent imports: a Pod would tell it only when it starts, or later."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import FrozenImporter
from pathlib import Path

import pytest

from deploy.images.agent.runtime import archive, assemble, contents, pack, start
from deploy.images.catalog import AGENT_PACKAGES, REPOSITORY
from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.bench.processes import resident_mib
from tests.unit.agent.support import Manager, arguments, eventually, fetch, role, running_node, write_secret
from tests.unit.agent.tooling.sql.databases import (
    PASSWORD,
    Database,
    Mariadb,
    Postgresql,
    running,
    shared_folder,
)

STANDARD = Path(sysconfig.get_path("stdlib"))
WHEELS = ("grpc", "grpc_health", "google", "jinja2", "markupsafe", "typing_extensions.py")

COIN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Coin:
    worth: int = 5
"""
COUNTED = """
import sys
sys.path[:] = [sys.argv[1]]
import start
archives = [start.Archive(path) for path in sys.argv[2:]]
sys.meta_path[2:], sys.path[:] = archives, []
compiled = []

class Known(dict):
    def get(self, text, default):
        if text not in self:
            compiled.append(text)
        return super().get(text, default)

start.without_compiling(Known(archives[1].methods))
from coin import Coin
print(Coin(), Coin(1) == Coin(1), hash(Coin(7)) == hash((7,)), len(compiled))
"""


def copy(origin: Path, target: Path) -> None:
    if origin.is_dir():
        shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(origin, target)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Installed for the agent alone, as in an image's build."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in WHEELS:
        copy(Path(sysconfig.get_path("purelib")) / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, archive.Source]:
    folder = tmp_path_factory.mktemp("ours")
    for package in AGENT_PACKAGES:
        copy(REPOSITORY / package, folder / package)
    return archive.sources(folder)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """Made of this Python, whose extension modules are other files than Debian's."""
    folder = tmp_path_factory.mktemp("bundle")
    assemble.write_library(STANDARD, wheels, folder)
    return folder


def test_every_module_that_the_agent_imports_is_in_the_bundle(
    bundle: Path, wheels: Path, ours: dict[str, archive.Source]
) -> None:
    available = {*archive.sources(STANDARD), *archive.sources(wheels)}
    imported = {found for name, source in ours.items() for found, _ in source.imports(name)}
    frozen = {name for name in available if FrozenImporter.find_spec(name) is not None}
    assert (imported & available) - frozen <= archive.names(bundle / "library.modules")
    assert set(contents.IMPORTED) <= imported


async def test_both_agents_run_on_the_bundles_modules_alone(bundle: Path, ours: dict[str, archive.Source]) -> None:
    pack.write(ours, bundle / "library.modules", bundle / "agent.modules")
    alone = ("-I", "-S", "-B", str(shutil.copy(start.__file__, bundle)))
    with running_node() as node:
        started = {"steps": [{"set": {"n": "{{ [node.ordinal, 7] | max }}"}}], "result": {"n": "{{ n }}"}}
        node.mount(
            node.document(
                tools={
                    "preStart": started,
                    "getRole": {
                        "steps": [{"set": {"r": "{{ 'a' if node.first is defined }}"}}],
                        "result": {"role": "{{ r }}"},
                    },
                    "ready": {"steps": [{"set": {"none": "{{ absent | default('x') }}"}}]},
                },
                process={"command": ["/bin/sleep", "100{{ preStart.n }}"]},
                roles=["a"],
            )
        )
        node.start(*alone, "manager")
        node.start(*alone, "tools")
        async with node.channel(node.manager_port) as first, node.channel(node.tools_port) as second:
            await Manager(agent_pb2_grpc.ProcessManagerStub(first)).reaches(pb.RUNNING)
            report = await role(agent_pb2_grpc.ToolsStub(second))
            assert (report.node, report.role) == ("shop-engine-main-0", "a"), report.message
            status = await Manager(agent_pb2_grpc.ProcessManagerStub(first)).status()
            assert arguments(status.pid)[1] == "1007"

        async def ready() -> bool:
            return (await fetch(node.tools_health_port, "/readyz"))[0] == 200

        await eventually(ready)


@pytest.fixture
def databases(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[tuple[Database, Database]]:
    shared = shared_folder(tmp_path_factory, worker_id)
    with running(Postgresql, shared) as postgresql, running(Mariadb, shared) as mariadb:
        yield postgresql, mariadb


async def test_the_bundles_agent_logs_in_with_databases_without_openssl_and_stays_small(
    bundle: Path, ours: dict[str, archive.Source], databases: tuple[Database, Database]
) -> None:
    postgresql, mariadb = databases
    pack.write(ours, bundle / "library.modules", bundle / "agent.modules")
    alone = ("-I", "-S", "-B", str(shutil.copy(start.__file__, bundle)))
    account = {"password": "{{ secret.password }}", "keep": True}
    with running_node() as node:
        write_secret(node.root / "secrets", {"password": PASSWORD.encode()})
        node.mount(
            node.document(
                connections={
                    "one": {"postgresql": postgresql.tcp, "user": "scram", "database": "postgres", **account},
                    "other": {"mysql": mariadb.tcp, "user": "native", **account},
                },
                tools={
                    "getRole": {
                        "steps": [
                            {"postgresql": "SELECT 'a' AS role", "as": "here"},
                            {"mysql": "SELECT 'b' AS role", "as": "there"},
                        ],
                        "result": {"role": "{{ here[0].role ~ there[0].role }}"},
                    },
                    "ready": {"steps": [{"postgresql": "SELECT 1 AS one"}]},
                },
                roles=["ab"],
            )
        )
        node.start(*alone, "manager")
        agent = node.start(*alone, "tools")
        async with node.channel(node.manager_port) as first, node.channel(node.tools_port) as second:
            await Manager(agent_pb2_grpc.ProcessManagerStub(first)).reaches(pb.RUNNING)
            report = await role(agent_pb2_grpc.ToolsStub(second))
            assert report.role == "ab", report.message
        assert resident_mib(agent.pid) <= 45


def test_methods_of_dataclasses_are_not_compiled_at_each_start(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/coin.py").write_text(COIN)
    pack.write(archive.sources(tmp_path / "source"), bundle / "library.modules", tmp_path / "coin.modules")
    command = [sys.executable, "-I", "-S", "-B", "-c", COUNTED, str(Path(start.__file__).parent)]
    command += [str(bundle / "library.modules"), str(tmp_path / "coin.modules")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("Coin(worth=5) True True 0\n", "")
