"""What the Pods' init container does: put the agent into a volume, whatever was in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.images.agent.runtime import install as program


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    for name in ("bin", "lib/python3.11"):
        (folder / name).mkdir(parents=True)
    (folder / "bin/agent").write_text("program")
    (folder / "bin/agent").chmod(0o755)
    (folder / "lib/python3.11/os.py").write_text("module")
    (folder / "lib/loader.so").write_text("loader")
    (folder / "lib/agent").symlink_to("loader.so")
    (folder / "bundle.digest").write_text("one")
    return folder


def install(bundle: Path, destination: Path) -> bool:
    return program.install(str(bundle), str(destination))


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_copy_is_the_bundle(bundle: Path, tmp_path: Path) -> None:
    assert install(bundle, tmp_path / "volume")
    assert content(tmp_path / "volume") == content(bundle)
    assert (tmp_path / "volume/lib/agent").readlink() == Path("loader.so")
    assert os.access(tmp_path / "volume/bin/agent", os.X_OK)


def test_the_same_bundle_is_left_alone(bundle: Path, tmp_path: Path) -> None:
    install(bundle, tmp_path / "volume")
    before = (tmp_path / "volume/bin/agent").stat().st_ino
    assert not install(bundle, tmp_path / "volume")
    assert (tmp_path / "volume/bin/agent").stat().st_ino == before


@pytest.mark.parametrize("left", [".incoming", ".outgoing", "lib", "bin"])
def test_what_a_killed_install_left_is_replaced(bundle: Path, tmp_path: Path, left: str) -> None:
    (tmp_path / "volume" / left).mkdir(parents=True)
    (tmp_path / "volume" / left / "half").write_text("x")
    assert install(bundle, tmp_path / "volume")
    assert content(tmp_path / "volume") == content(bundle)


def test_a_newer_bundle_replaces_an_older_one_whole(bundle: Path, tmp_path: Path) -> None:
    install(bundle, tmp_path / "volume")
    (bundle / "lib/python3.11/os.py").rename(bundle / "lib/python3.11/new.py")
    (bundle / "bundle.digest").write_text("two")
    assert install(bundle, tmp_path / "volume")
    assert content(tmp_path / "volume") == content(bundle)


def test_a_bundle_that_is_not_whole_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "bundle.digest").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no bundle\.digest"):
        install(bundle, tmp_path / "volume")


def test_it_imports_nothing_that_the_interpreter_does_not_hold(bundle: Path, tmp_path: Path) -> None:
    """Each Pod waits for it."""
    (bundle / "lib/install.py").write_bytes(Path(program.__file__).read_bytes())
    alone = "import sys; sys.path.clear(); sys.argv[:1] = []; exec(open(sys.argv[0]).read())"
    command = [sys.executable, "-I", "-S", "-B", "-c", alone, str(bundle / "lib/install.py"), str(tmp_path / "volume")]
    for said in ("holds the agent", "holds the agent already"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == (f"install: {tmp_path / 'volume'} {said}\n", "")
