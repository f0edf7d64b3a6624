"""Where the bases come from, and what is said when a program fails."""

from pathlib import Path

import pytest

from deploy.images import bases
from deploy.images.commands import BuildError, run
from deploy.images.host import DEFAULT_ARCHIVE, DEFAULT_SECURITY, OLD_ARCHIVE, Archives, archives_from


def test_the_archives_are_the_machine_s_own() -> None:
    targets = (
        "https://packages.example.com/apt|Example|Debian\n"
        "http://mirror.example/debian/|Debian|Debian\n"
        "http://mirror.example/security/|Debian|Debian-Security\n"
    )
    assert archives_from(targets) == Archives("http://mirror.example/debian", "http://mirror.example/security")


def test_a_machine_of_another_distribution_uses_debian_s_archives() -> None:
    assert archives_from("http://mirror.example/ubuntu|Ubuntu|Ubuntu\n") == Archives(DEFAULT_ARCHIVE, DEFAULT_SECURITY)


def test_a_release_that_left_the_mirror_comes_from_the_old_archive(tmp_path: Path) -> None:
    tried: list[list[str]] = []

    def mirror_without_it(command: list[str]) -> None:
        tried.append(command)
        if not any(OLD_ARCHIVE in word for word in command):
            raise BuildError("404")
        Path(command[command.index("bullseye") + 1]).write_bytes(b"tar")

    tar, digest = bases.make(
        "bullseye", tmp_path, Archives("http://mirror/debian", "http://mirror/sec"), mirror_without_it
    )
    assert tar.read_bytes() == b"tar"
    assert len(tried) == 2
    assert bases.known_digest("bullseye", tmp_path) is None
    bases.record("bullseye", tmp_path, digest)
    assert bases.known_digest("bullseye", tmp_path) == digest


def test_a_failure_shows_the_end_of_the_output_and_where_the_rest_is(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "build.log"
    with pytest.raises(BuildError, match=r"status 3(.|\n)*build\.log(.|\n)*no such package"):
        run(["sh", "-c", "echo no such package; exit 3"], log)
    assert "no such package" in log.read_text()


def test_an_absent_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="buildah-that-is-not-there is not installed"):
        run(["buildah-that-is-not-there"], tmp_path / "log")
