"""Images without a registry: the sandbox's own, made here, and any other loaded from a file."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from deploy.local.commands import run, search_path
from deploy.local.errors import LocalError
from deploy.local.releases import architecture


def single_program_image(program: Path, name: str) -> bytes:
    """A Docker archive of one static program as `/<program>`, run as nobody. The same input gives the same bytes."""
    layer = _tar({program.name: (program.read_bytes(), 0o755)})
    config = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Entrypoint": [f"/{program.name}"], "User": "65534:65534"},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "middleware-platform"}],
        }
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    return _tar({config_name: (config, 0o644), "layer.tar": (layer, 0o644), "manifest.json": (manifest, 0o644)})


def load(ctr: Sequence[str], archive: Path) -> list[str]:
    """Load an OCI or Docker archive into the instance's containerd; the names of the images that it holds.

    Raises LocalError where the archive cannot be read or holds no image with a name.
    """
    if not archive.exists():
        raise LocalError(f"There is no image archive {archive}")
    done = run([*ctr, "images", "import", "--local", "--snapshotter", "overlayfs", str(archive)], seconds=600)
    # ctr prints `unpacking <name> (sha256:...)...done` for each
    names = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("unpacking ")]
    if not names:
        raise LocalError(f"{archive} holds no image with a name: tag it before it is saved")
    _name_by_id(ctr, names)
    return names


def listed(ctr: Sequence[str]) -> set[str]:
    """The names of the images that the instance's containerd has."""
    return set(run([*ctr, "images", "list", "--quiet"]).stdout.split())


def digests(ctr: Sequence[str]) -> dict[str, str]:
    """The named images that this containerd has, and the digest of each. Its own names (`sha256:...`) are left out."""
    lines = [line.split() for line in run([*ctr, "images", "list"]).stdout.splitlines()[1:]]
    return {line[0]: line[2] for line in lines if len(line) > 2 and not line[0].startswith("sha256:")}


def copy(source: Sequence[str], target: Sequence[str], names: Sequence[str], seconds: float = 600) -> None:
    """Give the images of one containerd to another, through a pipe. Each has its own content and snapshots: both
    collect their garbage, and neither knows what the other still needs."""
    if not names:
        return
    environment = {**os.environ, "PATH": search_path()}
    export = [*source, "images", "export", "-", *names]
    load_all = [*target, "images", "import", "--local", "--snapshotter", "overlayfs", "-"]
    with subprocess.Popen(export, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as exporting:
        try:
            done = subprocess.run(load_all, stdin=exporting.stdout, capture_output=True, text=True, check=False,
                                  env=environment, timeout=seconds)  # fmt: skip
        except subprocess.TimeoutExpired as late:
            exporting.kill()
            raise LocalError(f"Copying {len(names)} images to another node did not end within {seconds:g} s") from late
    if done.returncode or exporting.returncode:
        raise LocalError(
            f"The images could not be copied to another node: {done.stderr.strip() or 'the export failed'}"
        )
    _name_by_id(target, names)


def _name_by_id(ctr: Sequence[str], names: Sequence[str]) -> None:
    """Have the images named by their ids too. containerd does it once for each name, and marks the name; an image that
    comes under the name of another keeps the mark, has no such name, and cannot be mounted as a volume (v2.2)."""
    for name in names:
        run([*ctr, "images", "label", name, "io.cri-containerd.image="])


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
