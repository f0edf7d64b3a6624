"""The versions of all that the embedded cluster runs. `binaries/go.mod` pins the same ones for builds from source.

Kubernetes 1.34 is the last release whose kubelet runs on cgroup v1 by default.
"""

from __future__ import annotations

KUBERNETES = "v1.34.10"
CONTAINERD = "v2.2.9"
ETCD = "v3.6.4"
COREDNS = "v1.12.4"
HELM = "v3.19.0"
TEMPORAL = "v1.5.1"
PAUSE_IMAGE = "middleware.local/pause:1"

# The oldest Go that can build from source: the `go` directive of the module. Go 1.21 or later fetches the version that
# it needs; what is older cannot.
GO_NEEDED = (1, 25)
GO_SELF_UPDATING = (1, 21)
