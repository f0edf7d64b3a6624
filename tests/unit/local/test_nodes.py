"""Several nodes: addresses and directories of their own, and what an instance refuses to do with them."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from cryptography import x509

from deploy.local import cli, setup, slots
from deploy.local.errors import LocalError
from deploy.local.instance import Instance
from deploy.local.paths import NodePaths, Paths
from deploy.local.slots import Addresses, NodeAddresses

FIRST = Addresses(3)
NUMBERS = range(2, slots.MAXIMUM_NODES + 1)


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setattr("deploy.local.paths.RUN_ROOT", tmp_path / "run")
    state = tmp_path / "state"
    state.mkdir()
    (state / "instance.json").write_text('{"name": "probe", "slot": 3}')
    return Instance("probe", state=state)


def with_nodes(instance: Instance, count: int) -> Instance:
    instance.paths.node_count.write_text(str(count))
    return instance


def test_the_nodes_of_a_slot_share_its_range_and_no_address() -> None:
    further = [NodeAddresses(3, number) for number in NUMBERS]
    ranges = [FIRST.link, FIRST.node_range, FIRST.bridge_range, *(each.bridge_range for each in further)]
    assert not any(one.overlaps(other) for one, other in combinations(ranges, 2))
    assert all(each.subnet_of(FIRST.pod_range) for each in ranges)
    nodes = {FIRST.gateway, *(each.node for each in further)}
    assert len(nodes) == slots.MAXIMUM_NODES
    assert all(address in list(FIRST.node_range.hosts()) for address in nodes)


def test_a_node_has_its_own_of_what_a_machine_has(instance: Instance) -> None:
    one, two, three = with_nodes(instance, 3).nodes
    for left, right in combinations((one, two, three), 2):
        for attribute in ("state", "run", "config", "volumes", "kubelet", "containerd_root", "containerd_socket",
                          "pod_logs", "network_namespace"):  # fmt: skip
            assert getattr(left.paths, attribute) != getattr(right.paths, attribute), attribute
        assert left.groups.kubelet_root != right.groups.kubelet_root
        assert not set(left.components) & set(right.components)
    assert [node.label for node in (one, two, three)] == ["node-1", "node-2", "node-3"]


def test_no_instance_can_be_named_as_another_ones_node(instance: Instance) -> None:
    node = with_nodes(instance, 2).further[0]
    with pytest.raises(LocalError, match="name"):
        Instance(node.network.namespace.name.removeprefix("mw-"))


def test_a_nodes_kubelet_is_that_node_to_the_api_server(instance: Instance) -> None:
    node = with_nodes(instance, 2).further[0]
    assert isinstance(node.paths, NodePaths)
    assert isinstance(node.addresses, NodeAddresses)
    setup.write_all(instance.paths, FIRST, instance.node_name, "/mw-probe")
    setup.write_node(node.paths, node.addresses, node.name, node.groups.kubelet_root)
    served = x509.load_pem_x509_certificate((instance.paths.pki / "kubelet-server@node-2.crt").read_bytes())
    names = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == [str(node.addresses.node)]
    used = x509.load_pem_x509_certificate((instance.paths.pki / "kubelet@node-2.crt").read_bytes())
    assert used.subject.rfc4514_string() == f"CN=system:node:{node.name},O=system:nodes"
    configuration = json.loads((node.paths.config / "kubelet.json").read_text())
    assert configuration["address"] == str(node.addresses.node)
    assert configuration["cgroupRoot"] == "/mw-probe.node-2"
    kubeconfig = json.loads(node.paths.component_kubeconfig("kubelet").read_text())
    assert kubeconfig["clusters"][0]["cluster"]["server"] == f"https://{FIRST.node}:6443"
    for component in node.components.values():
        for argument in component.command[1:]:
            value = Path(argument.rpartition("=")[2])
            if value.parent in (node.paths.config, node.paths.pki):
                assert value.exists(), f"{component.name} reads {value}"


def test_an_instance_is_one_node_until_it_is_told_otherwise(instance: Instance) -> None:
    assert [node.label for node in instance.nodes] == ["node-1"]
    assert instance._wanted_nodes(None) == 1
    assert with_nodes(instance, 3)._wanted_nodes(None) == 3
    assert instance._wanted_nodes(4) == 4


@pytest.mark.parametrize(("wanted", "told"), [(2, "does not shrink"), (0, "1 to 8"), (9, "1 to 8")])
def test_a_number_of_nodes_that_cannot_be_is_refused(instance: Instance, wanted: int, told: str) -> None:
    with pytest.raises(LocalError, match=told):
        with_nodes(instance, 3)._wanted_nodes(wanted)


def test_the_first_node_and_an_unknown_one_are_not_killed(instance: Instance) -> None:
    with pytest.raises(LocalError, match="control plane"):
        with_nodes(instance, 2).isolate_node("node-1")
    with pytest.raises(LocalError, match=r"node-1, node-2: `make up NODES="):
        instance.isolate_node("node-3")


def test_socket_paths_stay_short_enough_for_the_longest_name() -> None:
    paths = NodePaths.of(Paths("x" * 30, Path("/state")), "node-8")
    assert len(f"{paths.containerd_socket}.ttrpc") < 108


def test_the_command_line_names_a_node() -> None:
    assert cli.parser().parse_args(["up", "--nodes", "3"]).nodes == 3
    assert cli.parser().parse_args(["up"]).nodes is None
    found = cli.parser().parse_args(["node", "kill", "node-2"])
    assert (found.verb, found.node) == ("kill", "node-2")
