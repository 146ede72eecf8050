# SPDX-License-Identifier: MIT
"""Small trees for container tools, with everything a module may hold; and what is in a folder, to compare.

make_tree(tmp_path / "tree")
described(tmp_path / "tree") == described_image(module.image.read_bytes())
"""

from __future__ import annotations

import os
from pathlib import Path

from powernode.composefs import image as images
from powernode.composefs import scan

__all__ = ["described", "described_image", "make_tree"]

TIME = 1_700_000_000
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service, as setcap writes it


def make_tree(root: Path) -> None:
    """Owners, modes, times, attributes and sizes around every border; the root's own, too. Needs root."""
    files: dict[str, tuple[bytes, int]] = {
        "etc/empty": (b"", 0o644),
        "etc/small.conf": (b"x" * 64, 0o640),
        "etc/larger.conf": (b"x" * 65, 0o600),
        "usr/bin/tool": (os.urandom(300_001), 0o4755),
        "usr/bin/same": (b"the same content\n" * 700, 0o755),
        "usr/lib/same": (b"the same content\n" * 700, 0o644),
        "usr/lib/huge": (os.urandom(1 << 20) * 5, 0o644),  # several frames
        "usr/lib/zeros": (bytes(2 << 20), 0o644),
        "usr/lib/block": (os.urandom(4096), 0o000),
        f"usr/share/{'n' * 200}/{'m' * 90}": (b"a long name" * 30, 0o644),
        "usr/share/grüße =\n\t": (b"an odd name" * 30, 0o644),
    }
    for name, (content, mode) in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    (root / "var/tmp").mkdir(parents=True)
    (root / "var/tmp").chmod(0o1777)
    (root / "usr/bin/link").symlink_to("tool")
    (root / "etc/absolute").symlink_to("/usr/share/" + "x" * 150)
    os.chown(root / "etc/small.conf", 33, 3_000_000)  # tar's own fields end at 2097151
    os.chown(root / "usr/bin/tool", 0, 0)
    (root / "usr/bin/tool").chmod(0o4755)
    os.chown(root / "usr/bin/link", 5, 6, follow_symlinks=False)
    os.chown(root / "var/tmp", 7, 8)
    os.setxattr(root / "usr/bin/tool", "security.capability", CAPABILITY)
    os.setxattr(root / "usr/bin/same", "user.binary", b"\0\xff=\n")
    os.setxattr(root / "var", "user.grüße", b"on a directory")
    root.chmod(0o711)
    os.chown(root, 9, 10)
    for number, path in enumerate(
        [*sorted(root.rglob("*"), reverse=True), root]
    ):  # deepest first: entries change times
        os.utime(path, (TIME, TIME + number), follow_symlinks=False)


def described(folder: Path) -> list[str]:
    """A line for each name: type, mode, owner, time, attributes and content, by the fs-verity digest."""
    return described_image(scan.image_of(folder, scan.ScanOptions(), min_version=1))


def described_image(image: bytes) -> list[str]:
    return images.dump(image).decode("utf-8", "backslashreplace").splitlines()
