"""The agent bundle's archives: what is found in sources, what is written, and what the bundle's reader loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.images.agent.runtime import archive, contents, pack, start

SHOP = {
    "shop/__init__.py": '"""A shop."""\nfrom . import till\n',
    "shop/till.py": (
        '"""A till."""\n\nfrom __future__ import annotations\n\nfrom json import dumps\n'
        "from shop.stock import left as rest\n"
        'def count():\n    """Counts."""\n    return dumps(rest())\n\n\nclass Drawer:\n    """Holds coins."""\n'
    ),
    "shop/stock.py": 'def left():\n    """Nothing else."""\n\n\ndef fail():\n    import shop.nowhere\n',
}


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, archive.Source]:
    for name, text in SHOP.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_text(text)
    return archive.sources(tmp_path / "source")


def write(target: Path, sources: dict[str, archive.Source], **more: Any) -> None:
    packages = {name for name, source in sources.items() if source.is_package}
    modules = {name: archive.code(name, source) for name, source in sources.items()}
    archive.write(target, archive.Content(modules, packages, **more))


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """In an interpreter of its own, whose modules come from the folder's archive and after it from its own library."""
    prepared = (
        f"import sys; sys.path.insert(0, {str(Path(start.__file__).parent)!r}); import start; "
        f"sys.meta_path.insert(2, start.Archive({str(folder / 'shop.modules')!r}))\n"
    )
    return subprocess.run(
        [sys.executable, "-I", "-B", "-c", prepared + text], capture_output=True, text=True, check=False
    )


def test_modules_are_found_by_full_name_with_all_that_they_import(shop: dict[str, archive.Source]) -> None:
    assert {name: source.is_package for name, source in shop.items()} == {
        "shop": True, "shop.till": False, "shop.stock": False
    }  # fmt: skip
    assert dict(shop["shop"].imports("shop")) == {"shop": True, "shop.till": False}
    found = dict(shop["shop.till"].imports("shop.till"))
    assert {"json": True, "json.dumps": False, "shop.stock": True, "shop.stock.left": False}.items() <= found.items()


def test_what_a_function_imports_is_reached_and_what_is_left_out_is_not(
    shop: dict[str, archive.Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules, names = contents.reachable(shop, ["shop"])
    assert modules == {"shop", "shop.till", "shop.stock"}
    assert "shop.nowhere" in names
    monkeypatch.setattr(contents, "LEFT_OUT", ("shop.stock",))
    assert contents.reachable(shop, ["shop"])[0] == {"shop", "shop.till"}


def test_an_archive_is_imported_from(shop: dict[str, archive.Source], tmp_path: Path) -> None:
    write(tmp_path / "shop.modules", shop)
    done = run(tmp_path, "import shop; print(shop.till.count(), shop.till.Drawer.__doc__, shop.till.count.__doc__)")
    assert (done.stdout, done.stderr) == ("null Holds coins. None\n", "")


def test_a_traceback_names_module_and_line_of_the_source(shop: dict[str, archive.Source], tmp_path: Path) -> None:
    write(tmp_path / "shop.modules", shop)
    done = run(tmp_path, "import shop.stock; shop.stock.fail()")
    assert 'File "/agent/modules/shop/stock.py", line 6, in fail' in done.stderr
    assert "ModuleNotFoundError: No module named 'shop.nowhere'" in done.stderr


def test_an_extension_module_lies_beside_its_archive(shop: dict[str, archive.Source], tmp_path: Path) -> None:
    """Any file is good to see where it is looked for."""
    write(tmp_path / "shop.modules", shop, extensions={"shop.native": "extensions/shop.native.so"})
    (tmp_path / "extensions").mkdir()
    (tmp_path / "extensions/shop.native.so").write_text("no library")
    assert f"ImportError: {tmp_path}/extensions/shop.native.so" in run(tmp_path, "import shop.native").stderr


def test_a_module_that_the_bundle_would_not_have_fails_its_build(
    shop: dict[str, archive.Source], tmp_path: Path
) -> None:
    library = tmp_path / "library.modules"
    archive.write(library, archive.Content({"__future__": compile("", "", "exec")}))
    with pytest.raises(ValueError, match=r"shop\.stock imports shop\.nowhere; shop\.till imports json$"):
        pack.write(shop, library, tmp_path / "agent.modules")


def test_the_engine_gets_the_variables_that_the_image_set() -> None:
    environment = {"MALLOC_ARENA_MAX": "1", "MIDDLEWARE_AGENT_KEEP_LD_PRELOAD": "/a.so", "PATH": "/bin"}
    start.give_back(environment)
    assert environment == {"LD_PRELOAD": "/a.so", "PATH": "/bin"}
