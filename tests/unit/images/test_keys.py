"""An image is built again exactly when something that goes into it has changed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.images import keys
from deploy.images.catalog import Image, catalog, select
from deploy.images.recipe import recipe

LOCK = "grpcio==1.0 \\\n    --hash=sha256:aa\npydantic==1.0 \\\n    --hash=sha256:bb\n"
AGENT = Image("agent", "1", "bookworm", ("agent", "proto"), ("grpcio",))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("agent", "proto", "worker"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("x = 1\n")
    (tmp_path / "requirements.lock").write_text(LOCK)
    return tmp_path


def write(path: str, text: str) -> Callable[[Path], None]:
    return lambda repository: _write(repository / path, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    "change",
    [
        write("agent/__init__.py", "x = 2\n"),
        write("agent/new.py", ""),
        write("proto/deep/er.py", ""),
        lambda repository: (repository / "proto/__init__.py").unlink(),
        lambda repository: (repository / "agent/__init__.py").chmod(0o755),
    ],
)
def test_our_code_changes_the_image_but_not_its_runtime(repository: Path, change: Callable[[Path], None]) -> None:
    before = recipe(AGENT, repository)
    key, runtime = before.key("below"), before.runtime_key("base")
    change(repository)
    after = recipe(AGENT, repository)
    assert after.key("below") != key
    assert after.runtime_key("base") == runtime


@pytest.mark.parametrize(
    "change",
    [
        write("worker/__init__.py", "other = 1\n"),
        write("agent/__pycache__/a.cpython-311.pyc", "x"),
        write("requirements.lock", LOCK.replace("bb", "cc")),
        lambda repository: os.utime(repository / "agent/__init__.py", (1, 1)),
    ],
)
def test_what_does_not_go_in_changes_nothing(repository: Path, change: Callable[[Path], None]) -> None:
    before = recipe(AGENT, repository)
    key, runtime = before.key("below"), before.runtime_key("base")
    change(repository)
    after = recipe(AGENT, repository)
    assert (after.key("below"), after.runtime_key("base")) == (key, runtime)


def test_the_lock_and_the_base_change_the_runtime(repository: Path) -> None:
    before = recipe(AGENT, repository).runtime_key("base")
    assert recipe(AGENT, repository).runtime_key("newer base") != before
    (repository / "requirements.lock").write_text(LOCK.replace("aa", "ff"))
    assert recipe(AGENT, repository).runtime_key("base") != before


def test_a_base_changes_a_middleware_image(repository: Path) -> None:
    redis = recipe(Image("redis", "7.0", "bookworm"), repository)
    assert redis.key("one") != redis.key("other")
    assert redis.key("one") != recipe(Image("redis", "8.0", "trixie"), repository).key("one")


def test_parts_of_a_key_do_not_run_together() -> None:
    assert keys.key(["ab", "c"]) != keys.key(["a", "bc"])


def test_names_select_images() -> None:
    images = catalog()
    assert select([], images) == images
    assert [image.tag for image in select(["redis"], images)] == ["7.0", "6.0", "8.0"]
    assert [image.reference for image in select(["middleware.local/redis:8.0"], images)] == [
        "middleware.local/redis:8.0"
    ]
    with pytest.raises(ValueError, match=r"there is no image 'redis:5\.0'; known are .*redis:6\.0"):
        select(["redis:5.0"], images)
