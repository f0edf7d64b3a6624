"""Where an agent finds its files and which ports it serves: the Pod's layout, overridable by environment for tests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_DATA_ROOT = "/middleware"
_SCRIPTS_ROOT = "/scripts"


class PathRefusedError(ValueError):
    """A path that lies outside what the agent may write."""


@dataclass(frozen=True)
class Settings:
    """Directories are the mount points of the Pod; ``listen`` is a numeric address."""

    config_dir: Path
    secrets_dir: Path
    tls_dir: Path
    data_dir: Path
    scripts_dir: Path
    tmp_dir: Path
    """The container's own: no other container of the Pod sees it."""
    pod_name: str
    pod_uid: str
    engine_version: str
    """The runtime version of the Pod's image; empty: not known."""
    listen: str
    manager_port: int
    tools_port: int
    manager_health_port: int
    tools_health_port: int

    @property
    def state_dir(self) -> Path:
        """The agents' memory on the node's volume: lock, record, answers, pushed document."""
        return self.data_dir / ".agent"

    @property
    def run_dir(self) -> Path:
        """What belongs to this Pod and not to the volume: the next Pod on the same volume must not find our socket."""
        return self.scripts_dir / ".agent"

    @property
    def manager_socket(self) -> Path:
        """Agent 1 tells agent 2 the process's state here."""
        return self.run_dir / "manager.sock"

    @property
    def tools_socket(self) -> Path:
        """Agent 2 serves whoever may run programs in its container here; see ``agent.tools.by_hand``."""
        return self.tmp_dir / "tools.sock"

    def locate(self, path: str) -> Path:
        """The real place of a document's path below /middleware or /scripts. Raises PathRefusedError for any other."""
        for root, real in ((_DATA_ROOT, self.data_dir), (_SCRIPTS_ROOT, self.scripts_dir)):
            for prefix in (root, str(real)):
                if path == prefix or path.startswith(prefix + "/"):
                    found = Path(os.path.normpath(str(real) + path[len(prefix) :]))
                    if found.is_relative_to(real) and not found.is_relative_to(real / ".agent"):
                        return found
        raise PathRefusedError(f"path {path!r} is refused: it must lie below /middleware or /scripts, outside .agent")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Defaults are the Pod's. Raises ValueError where a port is not a number."""

        def port(name: str, default: int) -> int:
            text = environment.get(name, str(default))
            if not text.isdecimal():
                raise ValueError(f"environment variable {name} is {text!r}; it must be a port number")
            return int(text)

        pod_address = environment.get("POD_IP", "")
        return cls(
            config_dir=Path(environment.get("MW_CONFIG_DIR", "/etc/middleware")),
            secrets_dir=Path(environment.get("MW_SECRETS_DIR", "/etc/middleware-secrets")),
            tls_dir=Path(environment.get("MW_TLS_DIR", "/etc/middleware-tls")),
            data_dir=Path(environment.get("MW_DATA_DIR", _DATA_ROOT)),
            scripts_dir=Path(environment.get("MW_SCRIPTS_DIR", _SCRIPTS_ROOT)),
            tmp_dir=Path(environment.get("MW_TMP_DIR", "/tmp")),  # noqa: S108 - a volume of this container alone
            pod_name=environment.get("POD_NAME", "unknown"),
            pod_uid=environment.get("POD_UID", ""),
            engine_version=environment.get("MW_ENGINE_VERSION", ""),
            listen=environment.get("MW_LISTEN", "::" if ":" in pod_address else "0.0.0.0"),  # noqa: S104 the kubelet's probes come by the Pod's address
            manager_port=port("MW_MANAGER_PORT", 50051),
            tools_port=port("MW_TOOLS_PORT", 50052),
            manager_health_port=port("MW_MANAGER_HEALTH_PORT", 50053),
            tools_health_port=port("MW_TOOLS_HEALTH_PORT", 50054),
        )

    def endpoint(self, port: int) -> str:
        """``host:port`` as gRPC wants it."""
        return f"[{self.listen}]:{port}" if ":" in self.listen else f"{self.listen}:{port}"
