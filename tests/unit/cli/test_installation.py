"""What `mw install` decides: which CRDs, which values for Helm, and what it says where something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cli.installation import CHART, CRDS, Options, crd_variant, find_helm, helm_arguments, read_crds
from cli.session import CommandError
from deploy.images.catalog import platform_version


@pytest.mark.parametrize(
    ("version", "variant"), [((1, 20), "v1-without-cel"), ((1, 24), "v1-without-cel"), ((1, 25), "v1"), ((1, 34), "v1")]
)
def test_the_crds_fit_the_api_server(version: tuple[int, int], variant: str) -> None:
    assert crd_variant(version) == variant
    assert set(read_crds(CRDS / variant)) == {f"{kind}.middleware.io" for kind in ("apps", "components", "groups")}


def test_an_api_server_that_is_too_old_is_refused() -> None:
    with pytest.raises(CommandError, match=r"1\.20 or later"):
        crd_variant((1, 19))


def test_a_folder_without_crds_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--crds"):
        read_crds(tmp_path)


def test_helm_gets_what_the_platform_needs() -> None:
    options = Options("temporal:7233", "production", "east", ("worker.replicas=3",), CHART, CRDS)
    arguments = helm_arguments(options)
    assert arguments[:4] == ["upgrade", "--install", "middleware-platform", str(CHART)]
    values = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--set"]
    assert values == [
        "temporal.address=temporal:7233",
        "temporal.namespace=production",
        "installation=east",
        "worker.replicas=3",
    ]
    assert CHART.joinpath("Chart.yaml").exists()


def test_the_chart_has_the_version_of_the_images_that_it_names() -> None:
    chart = yaml.safe_load(CHART.joinpath("Chart.yaml").read_text(encoding="utf-8"))
    assert {chart["version"], chart["appVersion"]} == {platform_version()}


def test_without_helm_one_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MW_STATE", str(tmp_path))
    with pytest.raises(CommandError, match="install Helm"):
        find_helm()
