"""Which clusters bring the agents into a Pod without copying them."""

from __future__ import annotations

from typing import Any

import pytest

from clients.image_volumes import all_can_mount


def machine(kubelet: str = "v1.35.0", runtime: str = "containerd://2.2.0") -> dict[str, Any]:
    return {"status": {"nodeInfo": {"kubeletVersion": kubelet, "containerRuntimeVersion": runtime}}}


@pytest.mark.parametrize(
    ("kubelet", "runtime"),
    [
        ("v1.35.0", "containerd://2.2.0"),
        ("v1.36.2-eks-1", "containerd://v2.2.9"),
        ("v2.0.0", "containerd://3.0.0-rc.1"),
    ],
)
def test_a_machine_that_mounts_a_folder_of_an_image(kubelet: str, runtime: str) -> None:
    assert all_can_mount([machine(kubelet, runtime), machine()])


@pytest.mark.parametrize(
    ("kubelet", "runtime"),
    [
        ("v1.34.9", "containerd://2.2.0"),
        ("v1.35.0", "containerd://2.1.6+bottlerocket"),
        ("v1.35.0", "containerd://1.7.28"),
        ("v1.36.0", "cri-o://1.36.0"),
        ("v1.36.0", "docker://28.0.0"),
        ("v1.36.0", ""),
        ("", "containerd://2.2.0"),
    ],
)
def test_one_machine_that_does_not_means_that_they_are_copied(kubelet: str, runtime: str) -> None:
    assert not all_can_mount([machine(), machine(kubelet, runtime)])


def test_of_no_machines_nothing_is_known() -> None:
    assert not all_can_mount([])
    assert not all_can_mount([{}])
