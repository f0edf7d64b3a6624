"""A node on this host: directories as in a Pod, certificates, a node document, and the two agents as real processes."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc import aio

from api.tools import Toolbox
from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from render.manifests.node import toolbox_document
from render.plugin.at_start import CLOSE, OPEN
from tests.support.stalls import grace
from tests.support.workers import share

REPOSITORY = Path(__file__).resolve().parents[3]
SERVER_NAME = "shop.demo.agent.middleware.io"
PLATFORM = "platform.middleware.io"
PYTHON = sys.executable

ENDED = r"ended by itself (?:within a second|after \d+ s)"
"""How long it ran is a matter of the machine: an interpreter alone may take longer than a second to start."""
FAST_MANAGER = (
    "import sys; from agent.process.main import run; from agent.process.waiting import RestartPolicy; "
    "sys.exit(run(RestartPolicy(first_delay=0.05, longest_delay=0.2, attempts=3, prepare_delay=0.05, "
    "longest_prepare_delay=0.2, kill_patience=0.5)))"
)
"""Agent 1 as it is, with delays short enough for tests."""

TOOLBOX = ("tools", "connections", "vars", "sequences")

_FIRST_PROCESS = ("unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")


async def eventually(condition: Callable[[], object], within: float = 15.0, what: str = "the condition") -> Any:
    """Waits until ``condition`` (plain or a coroutine function) gives something true, and returns that."""
    began = time.monotonic()
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() - began < within + grace(began), (
            f"{what} did not hold within {within} s, last: {found!r}"
        )
        await asyncio.sleep(0.02)


_own_ports = share(range(20000, 32000))
_ports = iter(random.sample(_own_ports, len(_own_ports)))
"""Below the range from which the kernel takes the ports of outgoing connections: nobody gets one by chance. And none is
given twice, by no worker of the run: two servers on one port is a test that fails once in a hundred runs."""


def free_port() -> int:
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("every port was given away")


class Authority:
    """A certificate authority of its own, as the installation has one."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificate = (
            _builder(name, name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: x509.GeneralName) -> tuple[bytes, bytes]:
        """Private key and certificate in PEM form."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(x509.Name([]), self._certificate.subject, key.public_key())
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        return (
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            certificate.public_bytes(serialization.Encoding.PEM),
        )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
    )


def write_secret(directory: Path, files: dict[str, bytes]) -> None:
    """As the kubelet does it: a new directory, and one atomic swap of the link ``..data``."""
    directory.mkdir(parents=True, exist_ok=True)
    version = Path(tempfile.mkdtemp(prefix="..version-", dir=directory))
    for name, content in files.items():
        (version / name).write_bytes(content)
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")
    temporary = directory / "..data_tmp"
    temporary.symlink_to(version.name)
    temporary.rename(directory / "..data")


@dataclass
class Node:
    """``root`` is short: the path of a Unix socket has at most 107 characters."""

    root: Path
    authority: Authority = field(default_factory=Authority)
    manager_port: int = field(default_factory=free_port)
    tools_port: int = field(default_factory=free_port)
    manager_health_port: int = field(default_factory=free_port)
    tools_health_port: int = field(default_factory=free_port)
    engine_version: str = ""
    """Of the Pod that is started next."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    first_processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "stdout"

    @property
    def agent_log(self) -> Path:
        return self.root / "stderr"

    @property
    def termination_log(self) -> Path:
        """As the kubelet makes one for each container; a test that looks at it makes it."""
        return self.root / "termination-log"

    def environment(self, pod: str = "pod-0") -> dict[str, str]:
        return {
            **os.environ,
            "MW_CONFIG_DIR": str(self.root / "config"),
            "MW_SECRETS_DIR": str(self.root / "secrets"),
            "MW_TLS_DIR": str(self.root / "tls"),
            "MW_DATA_DIR": str(self.data),
            "MW_SCRIPTS_DIR": str(self.root / "scripts"),
            "MW_TMP_DIR": str(self.root / "tmp"),
            "MW_LISTEN": "127.0.0.1",
            "MW_TERMINATION_LOG": str(self.termination_log),
            "MW_MANAGER_PORT": str(self.manager_port),
            "MW_TOOLS_PORT": str(self.tools_port),
            "MW_MANAGER_HEALTH_PORT": str(self.manager_health_port),
            "MW_TOOLS_HEALTH_PORT": str(self.tools_health_port),
            "POD_NAME": pod,
            "POD_UID": f"uid-of-{pod}",
            "MW_ENGINE_VERSION": self.engine_version,
        }

    def document(self, **changes: Any) -> dict[str, Any]:
        """A node document; ``process`` is merged, everything else replaced. ``tools``, ``connections`` and so on are
        the toolbox's."""
        process = {
            "command": ["/bin/sleep", "1000"],
            "workingDirectory": "/middleware",
            "startSeconds": 0.1,
            "stop": {"signal": "TERM", "timeout": 5},
        } | changes.pop("process", {})
        toolbox = {name: changes.pop(name) for name in TOOLBOX if name in changes}
        return {
            "schema": 1,
            "revision": 1,
            "hold": False,
            "node": {
                "app": "shop",
                "appUid": "uid-1",
                "namespace": "demo",
                "component": "engine",
                "group": "main",
                "name": "shop-engine-main-0",
                "address": "127.0.0.1",
                "ordinal": 0,
            },
            "process": process,
            "files": [],
            "toolbox": written(toolbox),
            "roles": [],
            "writableRoles": [],
            "monitorInterval": 0.1,
        } | changes

    def mount(self, document: dict[str, Any], **sources: str) -> None:
        """Replaces the mounted ConfigMap."""
        files = {"node.json": json.dumps(document).encode()} | {k: v.encode() for k, v in sources.items()}
        write_secret(self.root / "config", files)

    def mount_tls(self, names: list[x509.GeneralName] | None = None, authority: Authority | None = None) -> None:
        issuer = authority or self.authority
        key, certificate = issuer.issue(*(names or [x509.DNSName(SERVER_NAME)]))
        write_secret(self.root / "tls", {"tls.key": key, "tls.crt": certificate, "ca.crt": issuer.pem})

    def start_as_first_process(self, *arguments: str) -> None:
        """Of a process name space of its own, as in a container. All of it ends with the test."""
        code = "import os, sys; os.execvp('unshare', sys.argv[1:])"
        self.first_processes.append(self.start("-c", code, *_FIRST_PROCESS, PYTHON, *arguments))

    def start(self, *arguments: str, pod: str = "pod-0") -> subprocess.Popen[bytes]:
        """A Python process with the node's environment; ends with the test."""
        with self.log.open("ab") as output, self.agent_log.open("ab") as errors:
            process = subprocess.Popen(
                [PYTHON, *arguments], cwd=REPOSITORY, env=self.environment(pod), stdout=output, stderr=errors
            )
        self.processes.append(process)
        return process

    def start_manager(self, pod: str = "pod-0") -> subprocess.Popen[bytes]:
        return self.start("-c", FAST_MANAGER, pod=pod)

    def start_tools(self) -> subprocess.Popen[bytes]:
        return self.start("-m", "agent", "tools")

    def channel(self, port: int, identity: str | None = PLATFORM, authority: Authority | None = None) -> aio.Channel:
        names = [] if identity is None else [x509.DNSName(identity)]
        key, certificate = (authority or self.authority).issue(*names)
        credentials = grpc.ssl_channel_credentials((authority or self.authority).pem, key, certificate)
        options = [
            ("grpc.ssl_target_name_override", SERVER_NAME),
            ("grpc.initial_reconnect_backoff_ms", 50),  # the agent is still starting when the first test calls
            ("grpc.max_reconnect_backoff_ms", 200),
        ]
        return aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                # unshare waits for its child whatever it is told; killed, it takes the child with it.
                (process.kill if process in self.first_processes else process.terminate)()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


@contextmanager
def running_node() -> Iterator[Node]:
    root = Path(tempfile.mkdtemp(prefix="mw-"))
    for name in ("data", "scripts", "secrets", "config", "tmp"):
        (root / name).mkdir()
    node = Node(root)
    node.mount_tls()
    try:
        yield node
    finally:
        node.end()
        if node.agent_log.exists():  # shown by pytest with a test that failed
            print(node.agent_log.read_text()[-8000:])
        shutil.rmtree(root)


@dataclass
class Manager:
    """The platform's side of agent 1."""

    stub: agent_pb2_grpc.ProcessManagerAsyncStub

    async def status(self) -> pb.ProcessStatus:
        return await self.stub.GetStatus(pb.GetStatusRequest(), wait_for_ready=True, timeout=30)

    async def reaches(self, state: pb.ProcessState.ValueType, within: float = 15.0) -> pb.ProcessStatus:
        """Waits for a state and returns the status in which it was seen."""

        async def look() -> pb.ProcessStatus | None:
            status = await self.status()
            return status if status.state == state else None

        name = pb.ProcessState.Name(state)
        found: pb.ProcessStatus = await eventually(look, within, f"state {name}")
        return found


async def fetch(port: int, path: str) -> tuple[int, str]:
    """As the kubelet does: status and body; 0 and the reason where nobody listens."""
    return await asyncio.to_thread(_fetch, port, path)


def _fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError as error:
        return 0, str(error)


async def role(tools: agent_pb2_grpc.ToolsAsyncStub) -> pb.RoleReport:
    """The first answer of agent 2, which for a moment after its start does not know agent 1's state."""

    async def ask() -> pb.RoleReport | None:
        try:
            return await tools.GetRole(pb.GetRoleRequest(), wait_for_ready=True, timeout=20)
        except aio.AioRpcError:
            return None

    report: pb.RoleReport = await eventually(ask, what="GetRole is answered")
    return report


def pushed(document: dict[str, Any], **sources: str) -> list[pb.PushedFile]:
    """Files of a ReloadConfig request with their checksums."""
    contents = {"node.json": json.dumps(document)} | sources
    return [
        pb.PushedFile(source=name, content=text.encode(), sha256=hashlib.sha256(text.encode()).hexdigest())
        for name, text in contents.items()
    ]


def written(toolbox: Mapping[str, Any]) -> dict[str, Any]:
    """A tool file as the platform writes it into the node's document."""
    return toolbox_document(Toolbox.model_validate(toolbox))


def at_start(expression: str) -> str:
    """As a rendered file holds what the agent evaluates when it writes it."""
    return f"{OPEN}{expression}{CLOSE}"


def alive(pid: int) -> bool:
    """True while the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # ESRCH: reaped between the open and the read
        return False


def arguments(pid: int) -> list[str]:
    """The command line as any process of the Pod can read it."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
