# SPDX-License-Identifier: MIT
"""Change a persist disk while its machine is off, through debugfs and behind ext4's back.

disk = DiskEditor(path)
disk.flip("var/lib/powernode/images/….erofs", offset=5000)
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

HOME = "var/lib/powernode"
_BLOCK = 4096


class DiskEditor:
    def __init__(self, path: Path) -> None:
        self.path = path
        # What was only in the journal comes to its place; a machine would do that when it mounts.
        status = subprocess.run(["e2fsck", "-fp", str(path)], capture_output=True, text=True, check=False)
        assert status.returncode in (0, 1), status.stdout

    def read(self, path: str) -> bytes:
        with tempfile.NamedTemporaryFile() as file:
            self._debugfs(f"dump /{path} {file.name}")
            return Path(file.name).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """A new file, without fs-verity, in place of whatever there is."""
        folder, _, name = path.rpartition("/")
        above, _, last = folder.rpartition("/")
        if last not in self.names(above):
            self._debugfs(f"mkdir /{folder}", write=True)
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            if name in self.names(folder):
                self.remove(path)
            self._debugfs(f"write {file.name} /{path}", write=True)
        assert self.read(path) == data

    def remove(self, path: str) -> None:
        self._debugfs(f"rm /{path}", write=True)

    def swap(self, one: str, two: str) -> None:
        """Each name gets the other's file, sealed as it is."""
        first, second = self._inode(one), self._inode(two)
        for path, inode in ((one, second), (two, first)):
            self._debugfs(f"unlink /{path}", write=True)
            self._debugfs(f"ln <{inode}> /{path}", write=True)

    def symlink(self, path: str, target: str) -> None:
        self._debugfs(f"symlink /{path} {target}", write=True)

    def folders(self, path: str) -> None:
        """A directory with its parents."""
        done = ""
        for name in path.split("/"):
            if name not in self.names(done):
                self._debugfs(f"mkdir /{done}/{name}", write=True)
            done = f"{done}/{name}".strip("/")

    def node(self, path: str, kind: str) -> None:
        """`p` for a FIFO, `c MAJOR MINOR` for a device."""
        folder, _, name = path.rpartition("/")
        with tempfile.NamedTemporaryFile("w") as script:
            script.write(f"cd /{folder}\nmknod {name} {kind}\n")
            script.flush()
            subprocess.run(["debugfs", "-w", "-f", script.name, str(self.path)], capture_output=True, check=True)
        assert name in self.names(folder)

    def attribute(self, path: str, name: str, value: str) -> None:
        self._debugfs(f"ea_set /{path} {name} {value}", write=True)

    def mode(self, path: str, mode: int) -> None:
        """File type and permissions."""
        self._debugfs(f"set_inode_field /{path} mode 0{mode:o}", write=True)

    def flip(self, path: str, *, offset: int) -> None:
        """One bit of a file's data, on the disk itself: the filesystem has not noticed."""
        block = int(re.findall(r"^(\d+)$", self._debugfs(f"bmap /{path} {offset // _BLOCK}"), re.M)[0])
        assert block, f"{path} has no block at {offset}"
        with open(self.path, "r+b") as disk:
            at = block * _BLOCK + offset % _BLOCK
            disk.seek(at)
            old = disk.read(1)
            disk.seek(at)
            disk.write(bytes([old[0] ^ 1]))

    def names(self, folder: str) -> list[str]:
        listed = self._debugfs(f"ls -p /{folder}")
        return [line.split("/")[5] for line in listed.splitlines() if line.count("/") > 5]

    def _inode(self, path: str) -> int:
        return int(re.findall(r"Inode: (\d+)", self._debugfs(f"stat /{path}"))[0])

    def _debugfs(self, request: str, *, write: bool = False) -> str:
        command = ["debugfs", *(["-w"] if write else []), "-R", request, str(self.path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        complaints = [line for line in result.stderr.splitlines() if not line.startswith("debugfs 1.")]
        assert not complaints, (request, complaints)  # its exit status does not tell
        return result.stdout
