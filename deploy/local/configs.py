"""The configuration files of containerd, CNI, the kubelet, kube-proxy and CoreDNS. Pure: from addresses to text.

Kubernetes reads JSON where it reads YAML, so the standard library is enough.
"""

from __future__ import annotations

import json
from typing import Any

from deploy.local import versions
from deploy.local.paths import Paths
from deploy.local.slots import Addresses

CNI_PLUGINS = "/usr/lib/cni"  # where Debian's containernetworking-plugins puts them
CLUSTER_DOMAIN = "cluster.local"
MAXIMUM_PODS = 200
FEATURE_GATES = {"ImageVolume": True}
"""Of API server and kubelet; on by default from Kubernetes 1.35."""


def containerd(paths: Paths) -> str:
    """Own root, state and socket: another containerd on the machine is not touched.

    `restrict_oom_score_adj`: without it no sandbox starts where CAP_SYS_RESOURCE is missing.
    """
    return f"""version = 3
root = "{paths.containerd_root}"
state = "{paths.containerd_state}"

[grpc]
  address = "{paths.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  max_concurrent_downloads = 3

  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{versions.PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{CNI_PLUGINS}"]
    conf_dir = "{paths.config}/cni"

  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"

    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      runtime_path = "{paths.bin}/containerd-shim-runc-v2"

      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def cni(paths: Paths, addresses: Addresses) -> str:
    """One bridge; a Pod that reaches itself through a Service comes back to it (hairpin)."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(paths.state / "cni"),
            "ranges": [[{"subnet": str(addresses.bridge_range)}]],
            # Not a default route: a Pod reaches Pods, Services, node and host, and nothing else exists for it.
            "routes": [
                {"dst": str(addresses.pod_range)},
                {"dst": str(addresses.service_range)},
                {"dst": "0.0.0.0/0"},
            ],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, portmap]}, indent=2)


def kubelet(paths: Paths, addresses: Addresses, cgroup_root: str) -> str:
    """Fast and lenient: many small Pods on two cores, images that cannot be fetched again, a disk that others use."""
    document: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(addresses.node),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(paths.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(paths.pki / f"{paths.kubelet_certificate}.crt"),
        "tlsPrivateKeyFile": str(paths.pki / f"{paths.kubelet_certificate}.key"),
        "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
        "featureGates": FEATURE_GATES,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_root,
        "failCgroupV1": False,
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [str(addresses.dns_service)],
        "resolvConf": str(paths.config / "resolv.conf"),
        "podLogsDir": str(paths.pod_logs),
        "volumePluginDir": str(paths.kubelet / "volume-plugins"),
        "registerNode": True,
        "maxPods": MAXIMUM_PODS,
        "serializeImagePulls": False,
        "imageGCHighThresholdPercent": 100,  # 100 switches it off: a removed image could not be pulled again
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1Gi",
            "imagefs.available": "1Gi",
            "nodefs.inodesFree": "1%",
            "imagefs.inodesFree": "1%",
        },
        "evictionPressureTransitionPeriod": "30s",
        "failSwapOn": False,
        "nodeStatusUpdateFrequency": "4s",
        "nodeStatusReportFrequency": "1m",
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "oomScoreAdj": 0,  # lowering it takes CAP_SYS_RESOURCE
        "containerLogMaxSize": "20Mi",
        "containerLogMaxFiles": 3,
        "enableServer": True,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
    }
    return json.dumps(document, indent=2)


def kube_proxy(paths: Paths, addresses: Addresses) -> str:
    """iptables mode. The connection tracking limits are the machine's, and only its first namespace may set them."""
    document: dict[str, Any] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": str(addresses.node),
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": str(paths.component_kubeconfig("kube-proxy"))},
        "clusterCIDR": str(addresses.pod_range),
        "mode": "iptables",
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        "oomScoreAdj": 0,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
    return json.dumps(document, indent=2)


def scheduler(paths: Paths) -> str:
    """One scheduler needs no election, and without one a restart is at work at once."""
    document = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(paths.component_kubeconfig("kube-scheduler"))},
        "leaderElection": {"leaderElect": False},
    }
    return json.dumps(document, indent=2)


def corefile(paths: Paths, addresses: Addresses) -> str:
    """Names of the cluster; every other name does not exist, said at once instead of after a resolver's timeout."""
    return f"""{CLUSTER_DOMAIN}:53 in-addr.arpa:53 ip6.arpa:53 {{
    bind {addresses.node}
    errors
    health 127.0.0.1:8090
    ready 127.0.0.1:8181
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {paths.component_kubeconfig("coredns")}
        ttl 5
    }}
    cache 5 {{
        disable denial
    }}
}}
.:53 {{
    bind {addresses.node}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
