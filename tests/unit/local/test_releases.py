"""Official releases from a server of the same layout: the pinned file is taken, any other refused, a wait is short."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local.errors import LocalError
from deploy.local.releases import PINS, PROBE_SECONDS, Releases, architecture, load_pins
from tests.support.stalls import in_time

VERSION = "v1.34.4"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """The test's output is not the place for an access log."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    root = tmp_path / "mirror"
    root.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", root
        server.shutdown()
        thread.join()


def publish(root: Path, url: str, releases: Releases, program: str, version: str, content: bytes) -> str:
    path = root / releases.url(program, version).removeprefix(url + "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def pin(program: str, version: str, digest: str) -> dict[str, str]:
    return {f"{program} {version} {architecture()}": digest}


def test_a_pinned_program_is_fetched_and_executable(mirror: tuple[str, Path], tmp_path: Path) -> None:
    url, root = mirror
    releases = Releases({}, url)
    releases.pins = pin("kubelet", VERSION, publish(root, url, releases, "kubelet", VERSION, b"program"))
    destination = tmp_path / "cache" / "kubelet"
    assert releases.fetch("kubelet", VERSION, destination)
    assert destination.read_bytes() == b"program"
    assert destination.stat().st_mode & 0o111
    assert [path.name for path in destination.parent.iterdir()] == ["kubelet"]


def test_a_member_of_an_archive_is_fetched(mirror: tuple[str, Path], tmp_path: Path) -> None:
    url, root = mirror
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo(f"linux-{architecture()}/helm")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"helm"))
    releases = Releases({}, url)
    releases.pins = pin("helm", "v3.19.0", publish(root, url, releases, "helm", "v3.19.0", buffer.getvalue()))
    assert releases.fetch("helm", "v3.19.0", tmp_path / "helm")
    assert (tmp_path / "helm").read_bytes() == b"helm"


def test_a_wrong_checksum_is_refused_and_leaves_nothing(mirror: tuple[str, Path], tmp_path: Path) -> None:
    url, root = mirror
    releases = Releases(pin("kubelet", VERSION, "0" * 64), url)
    publish(root, url, releases, "kubelet", VERSION, b"something else")
    destination = tmp_path / "cache" / "kubelet"
    with pytest.raises(LocalError, match="is not what is pinned"):
        releases.fetch("kubelet", VERSION, destination)
    assert list(destination.parent.iterdir()) == []


def test_without_a_pin_nothing_is_asked_for(tmp_path: Path) -> None:
    # port 1: an attempt would be refused, and be remembered as no network
    releases = Releases({}, "http://127.0.0.1:1")
    assert not releases.fetch("kubelet", VERSION, tmp_path / "kubelet")
    assert not releases._unreachable


def test_an_absent_file_falls_through_to_the_build(mirror: tuple[str, Path], tmp_path: Path) -> None:
    url, _ = mirror
    assert not Releases(pin("kubelet", VERSION, "0" * 64), url).fetch("kubelet", VERSION, tmp_path / "kubelet")


def test_an_unreachable_network_costs_one_short_wait_for_all_programs(tmp_path: Path) -> None:
    with socket.socket() as silent:  # a full backlog answers no further connection
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        address = silent.getsockname()
        clients = [socket.socket() for _ in range(3)]
        try:
            for client in clients:
                client.setblocking(False)
                client.connect_ex(address)
            names = ("kubelet", "kube-proxy", "kubectl", "etcd")
            pins = {key: value for name in names for key, value in pin(name, VERSION, "0" * 64).items()}
            releases = Releases(pins, f"http://127.0.0.1:{address[1]}")
            started = time.monotonic()
            assert not any(releases.fetch(name, VERSION, tmp_path / name) for name in names)
            assert in_time(started, PROBE_SECONDS + 1)
        finally:
            for client in clients:
                client.close()


def test_off_fetches_nothing(mirror: tuple[str, Path], tmp_path: Path) -> None:
    url, root = mirror
    digest = publish(root, url, Releases({}, url), "kubelet", VERSION, b"program")
    assert not Releases(pin("kubelet", VERSION, digest), "off").fetch("kubelet", VERSION, tmp_path / "kubelet")


def test_the_shipped_pins_are_well_formed() -> None:
    assert load_pins(PINS) == json.loads(PINS.read_text())


@pytest.mark.parametrize("pins", [{"kubelet v1.34.4": "0" * 64}, {"kubelet v1.34.4 amd64": "ABC"}])
def test_a_malformed_pin_is_named(tmp_path: Path, pins: dict[str, str]) -> None:
    path = tmp_path / "releases.json"
    path.write_text(json.dumps(pins))
    with pytest.raises(LocalError, match="kubelet"):
        load_pins(path)


def test_the_default_addresses_are_the_projects_own() -> None:
    releases = Releases({}, None)
    assert releases.url("kubectl", VERSION).startswith("https://dl.k8s.io/v1.34.4/bin/linux/")
    assert "/v3.6.4/etcd-v3.6.4-linux-" in releases.url("etcd", "v3.6.4")
    assert "/v1.5.1/temporal_cli_1.5.1_linux_" in releases.url("temporal", "v1.5.1")
