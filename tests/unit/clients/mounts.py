"""Certificates as files, as the kubelet mounts a Secret."""

from __future__ import annotations

from pathlib import Path

from clients.tls.certificates import KeyPair


def mount(folder: Path, client: KeyPair, authority: KeyPair) -> None:
    """Also what a change of the Secret does: in one step, from one version to the next."""
    version = folder / f"..{len(list(folder.iterdir()))}"
    version.mkdir()
    texts = {"tls.crt": client.certificate, "tls.key": client.key, "ca.crt": authority.certificate}
    for name, text in texts.items():
        (version / name).write_bytes(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data", name))
    (folder / "..next").symlink_to(version.name)
    (folder / "..next").rename(folder / "..data")
