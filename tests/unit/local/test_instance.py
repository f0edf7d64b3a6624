"""What an instance is made of: certificates that last and are renewed, consistent components, refusals before harm."""

from __future__ import annotations

import datetime
import json
import os
import stat
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from cryptography import x509

from deploy.local import cli, kernel_settings, machine, pki, setup
from deploy.local.cgroups import ControlGroups
from deploy.local.components import SEARCH_ATTRIBUTES, all_components
from deploy.local.errors import LocalError
from deploy.local.images import single_program_image
from deploy.local.instance import Instance
from deploy.local.manifests import cluster_objects
from deploy.local.paths import Paths
from deploy.local.pki import Authority
from deploy.local.slots import Addresses
from deploy.local.status import shell_exports

ADDRESSES = Addresses(3)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setattr("deploy.local.paths.RUN_ROOT", tmp_path / "run")
    return Paths("probe", tmp_path / "state")


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_setup_is_repeatable_and_keeps_keys_private(paths: Paths) -> None:
    setup.write_all(paths, ADDRESSES, "mw-probe", "/mw-probe")
    first = {path: path.read_bytes() for path in paths.state.rglob("*") if path.is_file()}
    setup.write_all(paths, ADDRESSES, "mw-probe", "/mw-probe")
    assert {path: path.read_bytes() for path in first} == first
    for path in [*paths.pki.glob("*.key"), paths.kubeconfig, *paths.config.glob("*.kubeconfig")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_api_servers_certificate_is_good_for_each_of_its_addresses(paths: Paths) -> None:
    setup.write_all(paths, ADDRESSES, "mw-probe", "/mw-probe")
    found = certificate(paths.pki / "kube-apiserver.crt")
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(address) for address in names.get_values_for_type(x509.IPAddress)} == {
        "127.0.0.1", str(ADDRESSES.node), str(ADDRESSES.api_service),
    }  # fmt: skip
    found.verify_directly_issued_by(certificate(paths.pki / "ca.crt"))


def test_a_certificate_near_its_end_is_renewed(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(paths.pki)
    authority.ensure()
    monkeypatch.setattr(pki, "LEAF_DAYS", pki.RENEW_DAYS - 1)
    authority.issue("admin", "admin", groups=["system:masters"])
    monkeypatch.undo()
    authority.issue("admin", "admin", groups=["system:masters"])
    left = certificate(paths.pki / "admin.crt").not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert left.days > pki.RENEW_DAYS


def test_components_ask_for_distinct_ports_and_files_that_setup_writes(paths: Paths) -> None:
    setup.write_all(paths, ADDRESSES, "mw-probe", "/mw-probe")
    found = all_components(paths, ADDRESSES, "mw-probe")
    ports = [port for component in found for port in component.ports]
    assert len(ports) == len(set(ports))
    assert [component.wave for component in found] == sorted(component.wave for component in found)
    for component in found:
        for argument in component.command[1:]:
            value = Path(argument.rpartition("=")[2])
            if value.parent in (paths.config, paths.pki):
                assert value.exists(), f"{component.name} reads {value}"


def test_temporal_knows_the_search_attributes(paths: Paths) -> None:
    temporal = next(found for found in all_components(paths, ADDRESSES, "node") if found.name == "temporal")
    for attribute in SEARCH_ATTRIBUTES:
        assert f"{attribute}=Keyword" in temporal.command


def test_dns_is_a_service_that_leads_to_the_node() -> None:
    objects = cluster_objects(ADDRESSES)["items"]
    service = next(found for found in objects if found["kind"] == "Service")
    slice_ = next(found for found in objects if found["kind"] == "EndpointSlice")
    assert service["spec"]["clusterIP"] == str(ADDRESSES.dns_service)
    assert slice_["endpoints"][0]["addresses"] == [str(ADDRESSES.node)]
    assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]


def test_an_image_of_one_program_is_reproducible_and_runs_as_nobody(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"program")
    archive = single_program_image(program, "middleware.local/pause:1")
    assert archive == single_program_image(program, "middleware.local/pause:1")
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        config = json.load(tar.extractfile(manifest["Config"]))  # type: ignore[arg-type]
    assert manifest["RepoTags"] == ["middleware.local/pause:1"]
    assert config["config"] == {"Entrypoint": ["/pause"], "User": "65534:65534"}


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "-a", "a-", "x" * 31, ".."])
def test_a_bad_instance_name_is_refused(name: str) -> None:
    with pytest.raises(LocalError, match="name"):
        Instance(name)


def test_an_instance_that_is_not_there_says_so(tmp_path: Path) -> None:
    missing = Instance("probe", state=tmp_path / "none")
    with pytest.raises(LocalError, match="make up"):
        _ = missing.addresses


def test_where_there_is_nothing_to_end_down_says_so_and_is_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MW_STATE", str(tmp_path / "none"))
    assert cli.main(["--instance", "probe", "down", "--purge"]) == 0
    assert "nothing to end" in capsys.readouterr().err


def test_a_directory_with_something_else_in_it_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(LocalError, match="not empty"):
        Instance("probe", state=tmp_path)._refuse_foreign_directory()


def test_env_is_for_a_shell(tmp_path: Path) -> None:
    (tmp_path / "a state").mkdir()
    (tmp_path / "a state" / "instance.json").write_text('{"slot": 3}')
    text = shell_exports(Instance("probe", state=tmp_path / "a state"))
    assert f"export TEMPORAL_ADDRESS={ADDRESSES.node}:7233" in text
    assert f"export KUBECONFIG='{tmp_path}/a state/kubeconfig'" in text


def test_only_root_may(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalError, match="as root"):
        Instance("probe", state=tmp_path).up()


def test_only_on_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(LocalError, match="CLUSTER=current"):
        Instance("probe", state=tmp_path).up()


def test_a_full_disk_is_seen_before_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="GiB free"):
        machine.check_disk(tmp_path / "not" / "yet", 10**9, "the test")


def test_kernel_settings_come_back_after_the_last_instance(tmp_path: Path) -> None:
    run_root, sysctl = tmp_path / "run", tmp_path / "sys"
    setting = sysctl / "vm" / "overcommit_memory"
    setting.parent.mkdir(parents=True)
    setting.write_text("0\n")
    for name in ("one", "two"):
        kernel_settings.remember(run_root, sysctl)
        (run_root / name).mkdir()
        setting.write_text("1\n")
    (run_root / "one").rmdir()
    kernel_settings.restore(run_root, sysctl)
    assert setting.read_text() == "1\n"
    (run_root / "two").rmdir()
    kernel_settings.restore(run_root, sysctl)
    assert setting.read_text() == "0\n"


def test_a_missing_v1_controller_is_named(tmp_path: Path) -> None:
    for controller in ("cpu", "cpuacct", "cpuset"):
        (tmp_path / controller).mkdir()
    with pytest.raises(LocalError, match="memory"):
        ControlGroups("probe", tmp_path).up()


def test_on_v2_the_controllers_are_delegated_on_the_way_down(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids")
    top = tmp_path / "mw-probe"
    top.mkdir()
    (top / "cgroup.controllers").write_text("cpu memory pids")
    ControlGroups("probe", tmp_path).up()
    assert (top / "cgroup.subtree_control").exists()
    assert ControlGroups("probe", tmp_path).system() == [top / "system"]


def test_make_up_current_is_parsed() -> None:
    assert cli.parser().parse_args(["up", "--cluster", "current"]).cluster == "current"
    assert cli.parser().parse_args(["--instance", "test", "up", "--cluster-only"]).cluster_only
