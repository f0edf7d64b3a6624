"""What the worker is told by its environment; every name is in the chart's values too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clients.agents import DEFAULT_TLS_DIRECTORY
from clients.image_volumes import Delivery

DEFAULT_CA_DIRECTORY = "/etc/middleware-platform-ca"


@dataclass(frozen=True)
class Settings:
    """``metrics_port``: the platform's own at this port, the Temporal SDK's at the next; 0: none."""

    installation: str
    agent_image: str
    agent_delivery: Delivery
    tls_directory: Path
    ca_directory: Path
    metrics_port: int
    log_level: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises ValueError with the variable that is missing or wrong."""
        agent_image = environment.get("MW_AGENT_IMAGE", "")
        if not agent_image:
            raise ValueError("MW_AGENT_IMAGE is not set; it names the image that brings the agents into each Pod")
        delivery = environment.get("MW_AGENT_DELIVERY") or Delivery.AUTO
        if delivery not in set(Delivery):
            raise ValueError(f"MW_AGENT_DELIVERY is {delivery!r}; it must be one of {', '.join(Delivery)}")
        port = environment.get("MW_METRICS_PORT", "9090")
        if not port.isdigit() or int(port) > 65534:
            raise ValueError(f"MW_METRICS_PORT is {port!r}; it must be a port number below 65535, or 0 for none")
        return cls(
            installation=environment.get("MW_INSTALLATION", "default"),
            agent_image=agent_image,
            agent_delivery=Delivery(delivery),
            tls_directory=Path(environment.get("MW_TLS_DIR", DEFAULT_TLS_DIRECTORY)),
            ca_directory=Path(environment.get("MW_CA_DIR", DEFAULT_CA_DIRECTORY)),
            metrics_port=int(port),
            log_level=environment.get("MW_LOG_LEVEL", "INFO").upper(),
        )
