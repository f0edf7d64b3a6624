"""Ask a component whether it serves. The question is asked inside the network namespace, where the answer is."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from deploy.local.components import Health
from deploy.local.slots import Addresses

# A process of its own, because entering a namespace is for the whole of a thread's life, and Python 3.11 cannot.
# The certificate is not verified: who answers on the port is checked before (`Instance.check_ports`), and a health
# path carries no secret.
_ASK = """
import ssl, sys, urllib.error, urllib.request
context = ssl._create_unverified_context() if sys.argv[1].startswith("https") else None
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
    *([urllib.request.HTTPSHandler(context=context)] if context else []))
try:
    status = opener.open(sys.argv[1], timeout=3).status
except urllib.error.HTTPError as error:
    status = error.code
sys.exit(0 if status == int(sys.argv[2]) else 1)
"""


def serves(health: Health, addresses: Addresses, network_namespace: Path) -> bool:
    """True where the component answers as it should."""
    if health.socket:
        return _accepts(health.socket)
    host = "127.0.0.1" if health.local else str(addresses.node)
    url = f"{'https' if health.tls else 'http'}://{host}:{health.port}{health.path}"
    command = ["nsenter", f"--net={network_namespace}", "--", sys.executable, "-I", "-S", "-c", _ASK, url]
    command.append(str(health.status))
    return subprocess.run(command, capture_output=True, check=False, timeout=15).returncode == 0


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(3)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True
