"""What the shell offers, as it asks: through the whole command line, against a server, and silent without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli.completion import WITHIN
from cli.main import app
from tests.support.stalls import in_time

REPOSITORY = Path(__file__).resolve().parents[3]
APPS = [("cache", "demo"), ("catalog", "demo"), ("ledger", "bank"), ("plain", "default")]
NODES = ["cache-store-g-0", "cache-store-g-1"]


def group(component: str, name: str, nodes: list[str]) -> dict[str, Any]:
    spec = {"app": "cache", "component": component, "group": name}
    return {"metadata": {"name": name}, "spec": spec, "status": {"nodes": [{"name": node} for node in nodes]}}


class ApiServer(BaseHTTPRequestHandler):
    """Lists, as much of them as completion asks for."""

    delay = 0.0

    def do_GET(self) -> None:
        time.sleep(self.delay)
        words = self.path.partition("?")[0].split("/")
        namespace = words[words.index("namespaces") + 1] if "namespaces" in words else None
        items = [{"metadata": {"name": n, "namespace": w}} for n, w in APPS if namespace in (None, w)]
        if words[-1] == "groups":
            items = [group("store", "g", NODES), group("watch", "w", [])] if "app%3Dcache" in self.path else []
        body = json.dumps({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = tmp_path / "kubeconfig"
    cluster = {"server": f"http://127.0.0.1:{server.server_port}"}
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(path))
    yield path
    server.shutdown()
    server.server_close()


def asked(*words: str) -> dict[str, str]:
    """What bash sets when somebody presses the tab key behind the last word."""
    return {"_MW_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(("mw", *words)), "COMP_CWORD": str(len(words))}


def offered(*words: str) -> list[str]:
    """What bash is given for the last word. Nothing else may be said."""
    found = CliRunner().invoke(app, [], env=asked(*words), prog_name="mw")
    assert found.stderr == ""
    return found.stdout.split()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["status", "-n", "demo", ""], ["cache", "catalog"]),
        (["status", "-n", "demo", "cat"], ["catalog"]),
        (["pause", ""], ["plain"]),
        (["history", "-n", ""], ["bank", "default", "demo"]),
        (["logs", "-n", "demo", "cache", ""], NODES),
        (["switchover", "-n", "demo", "cache", "--to", "cache-store-g-1"], NODES[1:]),
        (["restart", "-n", "demo", "cache", "--component", ""], ["store", "watch"]),
        (["restart", "-n", "demo", "cache", "--component", "watch", "--group", ""], ["w"]),
        (["restart", "-n", "demo", "unknown", "--node", ""], []),
        (["switc"], ["switchover"]),
    ],
)
def test_names_that_fit(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], names: list[str]) -> None:
    monkeypatch.setattr("cli.completion.WITHIN", 60.0)  # what a person waits for is another matter than what is found
    assert offered(*words) == names


def test_a_server_that_takes_long_is_not_waited_for(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiServer, "delay", WITHIN * 4)
    began = time.monotonic()
    assert offered("status", "-n", "demo", "") == []
    assert in_time(began, WITHIN * 4)


@pytest.mark.parametrize("text", [None, "not: [yaml", "{}"])
def test_without_a_cluster_nothing_is_offered_and_nothing_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert offered("status", "") == []


def test_the_program_itself_answers_the_shell(kubeconfig: Path) -> None:
    command, environment = [sys.executable, "-m", "cli"], {**os.environ, **asked("status", "-n", "demo", "")}
    found = subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False
    )
    assert (found.stdout.split(), found.stderr) == (["cache", "catalog"], "")
