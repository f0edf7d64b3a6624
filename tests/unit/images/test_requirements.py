"""The agent's image installs a part of the lock; it must be the right part, with its hashes."""

import re
from pathlib import Path

import pytest

from deploy.images.catalog import AGENT_REQUIREMENTS, REPOSITORY
from deploy.images.requirements import entries, subset, wheels

LOCK = """\
grpcio==1.85.1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via
    #   middleware-platform (pyproject.toml)
    #   grpcio-health-checking
grpcio-health-checking==1.85.1 \\
    --hash=sha256:cc
    # via middleware-platform (pyproject.toml)
pydantic==2.14.3 \\
    --hash=sha256:dd
    # via middleware-platform (pyproject.toml)
typing_extensions==4.16.0 \\
    --hash=sha256:ee
    # via
    #   grpcio
    #   pydantic
"""


def test_a_subset_holds_what_its_roots_require_and_nothing_else() -> None:
    assert set(entries(subset(LOCK, ["grpcio-health-checking"]))) == {
        "grpcio",
        "grpcio-health-checking",
        "typing-extensions",
    }


def test_a_subset_keeps_every_hash() -> None:
    assert re.findall(r"sha256:\w+", subset(LOCK, ["grpcio"])) == ["sha256:aa", "sha256:bb", "sha256:ee"]


def test_no_roots_mean_the_whole_lock() -> None:
    assert set(entries(subset(LOCK, []))) == set(entries(LOCK))


def test_names_are_compared_as_pip_compares_them() -> None:
    assert set(entries(subset(LOCK, ["Typing.Extensions"]))) == {"typing-extensions"}


def test_a_root_that_is_not_pinned_is_named() -> None:
    with pytest.raises(ValueError, match=r"requirements\.lock does not pin kubernetes; run `make lock`"):
        subset(LOCK, ["grpcio", "kubernetes"])


def test_the_agent_stays_small() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text()
    assert set(entries(subset(lock, AGENT_REQUIREMENTS))) <= {
        "grpcio",
        "grpcio-health-checking",
        "jinja2",
        "markupsafe",
        "protobuf",
        "typing-extensions",
    }


def test_wheels_are_downloaded_once_with_hashes_checked(tmp_path: Path) -> None:
    commands: list[list[str]] = []
    first = wheels(LOCK, tmp_path, commands.append)
    assert wheels(LOCK, tmp_path, commands.append) == first
    assert len(commands) == 1
    assert {"--require-hashes", "--only-binary=:all:"} <= set(commands[0])


def test_an_interrupted_download_is_started_over(tmp_path: Path) -> None:
    def interrupted(command: list[str]) -> None:
        (Path(command[command.index("--dest") + 1]) / "half.whl").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wheels(LOCK, tmp_path, interrupted)
    assert list(wheels(LOCK, tmp_path, lambda command: None).iterdir()) == []
