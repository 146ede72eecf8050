# SPDX-License-Identifier: MIT
"""persist.img: the filesystem a node keeps its objects, images and sets on, made without root, mounts or loop devices.

ext4 with label `persist`, fs-verity and blocks of 4 KiB. Invariants: the same content gives the same bytes whoever
makes it, wherever and whenever (for one version of e2fsprogs); every file belongs to root and is 0644, every directory
0755; identifiers come from the content's digest, times are `epoch_s`; there is room left for sealing every file, and
`room_bytes` on top. The file is sparse. A node grows the filesystem to its disk, so the room need not be large.

How: mke2fs makes it empty, debugfs fills it in the order of the names. (`mke2fs -d` would keep the builder's user and
the time when each file was staged.) e2fsck has the last word.

Out of scope: which sets belong on it (the variants); partitions around it.

    write(Path("persist.img"), node_files([base, site], root, {"sets/good": Link("….json")}), room_bytes=256 << 20)
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from powernode.base.errors import InternalError, MachineError, OperatorError
from powernode.composefs import image as images
from powernode.module.directory import Module, Root
from powernode.module.place import beside

__all__ = ["HOME", "LABEL", "Content", "Link", "node_files", "tools", "write"]

LABEL = "persist"
HOME = "var/lib/powernode"

_BLOCK = 4096
_DIGEST_SIZE = 32
_INODE_SIZE = 256
_BYTES_PER_INODE = 8192
_FIXED_BLOCKS = 4096  # superblocks, descriptors and the blocks kept for growing
_JOURNAL_BLOCKS = 4096
_GENTLE = re.compile(r"[A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*")
_CODE = "image.persist"
_ENVIRONMENT = {"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC", "MKE2FS_CONFIG": os.devnull}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A symbolic link."""

    target: str


Content = Path | bytes | Link
"""A file's bytes, where they are, or what a link says."""


def node_files(
    modules: Sequence[Module], root: Root, files: Mapping[str, Content], *, home: str = HOME
) -> dict[str, Content]:
    """What a node needs to run `root`: its objects, its image and the modules' own; `files` are relative to `home`."""
    found: dict[str, Content] = {f"{home}/{path}": content for path, content in files.items()}
    found[f"{home}/images/{root.digest.hex}.erofs"] = root.image
    for module in modules:
        found[f"{home}/images/{module.digest.hex}.erofs"] = module.image
        for name in images.objects(module.image.read_bytes()):
            found[f"{home}/objects/{name.decode()}"] = module.objects / name.decode()
    return found


def write(target: Path, files: Mapping[str, Content], *, room_bytes: int, epoch_s: int = 0) -> None:
    """The filesystem with these files, by path below its root; their directories come by themselves."""
    _check_names(files)
    sizes = {path: _size(content) for path, content in files.items()}
    directories = sorted({parent for path in files for parent in _parents(path)})
    identity = _digest(files)
    blocks = _blocks(sizes, len(directories), room_bytes)
    with beside(target) as work:
        image = work / "image"
        with open(image, "xb") as file:
            file.truncate(blocks * _BLOCK)
        environment = {**_ENVIRONMENT, "E2FSPROGS_FAKE_TIME": str(max(1, epoch_s))}  # 0 means the clock
        _run("mke2fs", _mke2fs_options(identity), work, environment)
        (work / "script").write_bytes(_script(files, directories, work))
        said = _run("debugfs", ("-w", "-f", "script"), work, environment)
        complaints = [line for line in said.splitlines() if not line.startswith("debugfs 1.")]
        if complaints:  # its exit status does not tell
            raise MachineError(f"{_CODE}.write", "debugfs could not write a file", found=complaints[0])
        _run("e2fsck", ("-fn",), work, environment)
        image.chmod(0o644)
        image.rename(target)


def tools() -> dict[str, str]:
    """Versions of what made the bytes, for a build manifest."""
    said = _run("mke2fs", ("-V",), None, _ENVIRONMENT)
    return {"e2fsprogs": said.split()[1]}


def _mke2fs_options(identity: bytes) -> tuple[str, ...]:
    name, seed = (str(uuid.UUID(bytes=identity[start : start + 16], version=4)) for start in (0, 16))
    features = (
        "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
        "dir_nlink,extra_isize,metadata_csum,verity"
    )
    return (
        *("-q", "-F", "-t", "ext4", "-b", str(_BLOCK), "-I", str(_INODE_SIZE), "-i", str(_BYTES_PER_INODE)),
        *("-J", f"size={_JOURNAL_BLOCKS * _BLOCK >> 20}", "-m", "0", "-e", "remount-ro"),
        *("-O", features, "-L", LABEL, "-U", name),
        *("-E", f"hash_seed={seed},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard"),
    )


def _script(files: Mapping[str, Content], directories: Sequence[str], work: Path) -> bytes:
    """debugfs commands, parents first; sources are named by numbers, so that no name of the host needs quoting."""
    sources = work / "sources"
    sources.mkdir()
    # Once it is zero, the count of what was written is left alone: it would depend on how caches were emptied.
    lines = ["set_super_value kbytes_written 0", *(f"mkdir /{path}" for path in directories)]
    for number, (path, content) in enumerate(sorted(files.items())):
        folder, _, name = f"/{path}".rpartition("/")
        if isinstance(content, Link):
            lines += [f"cd {folder or '/'}", f"symlink {name} {content.target}"]
            continue
        source = sources / str(number)
        if isinstance(content, bytes):
            source.write_bytes(content)
        else:
            source.symlink_to(content.absolute())
        lines.append(f"write {source.relative_to(work)} /{path}")
        if stat.S_IMODE(source.stat().st_mode) != 0o644:
            lines.append(f"set_inode_field /{path} mode 0100644")
    return "".join(f"{line}\n" for line in lines).encode()


def _run(tool: str, options: Sequence[str], work: Path | None, environment: Mapping[str, str]) -> str:
    """Run it on the image in `work`; returns what it says on standard error."""
    command = [tool, *options, *(["image"] if work else [])]
    try:
        result = subprocess.run(
            command,
            env=environment,
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise MachineError(f"{_CODE}.tool", f"{tool} is not here", hint="apt-get install e2fsprogs") from error
    if result.returncode:
        raise MachineError(
            f"{_CODE}.{tool}",
            f"{tool} ended with status {result.returncode}",
            found=(result.stderr.strip() or result.stdout.strip())[-500:],
        )
    return result.stderr


def _blocks(sizes: Mapping[str, int], directories: int, room_bytes: int) -> int:
    """Enough for content, its Merkle trees, directories, the filesystem itself and the room."""
    if room_bytes < 0:
        raise InternalError(f"{_CODE}.room", "room cannot be negative")
    content = sum(_block_count(size) + _sealing_blocks(size) for size in sizes.values())
    used = content + 2 * directories + _FIXED_BLOCKS + _JOURNAL_BLOCKS + _block_count(room_bytes)
    inode_tables = _INODE_SIZE / _BYTES_PER_INODE
    return int(used / (1 - inode_tables) * 1.01)  # bitmaps and backups of the superblock


def _sealing_blocks(size: int) -> int:
    """The Merkle tree above a file's blocks, and its descriptor."""
    count, total = _block_count(size), 1
    while count > 1:
        count = -(-count // (_BLOCK // _DIGEST_SIZE))
        total += count
    return total


def _block_count(size: int) -> int:
    return -(-size // _BLOCK)


def _digest(files: Mapping[str, Content]) -> bytes:
    total = hashlib.sha256()
    for path in sorted(files):
        content = files[path]
        if isinstance(content, Path):
            with open(content, "rb") as file:
                kind, value = "file", hashlib.file_digest(file, "sha256").digest()
        elif isinstance(content, bytes):
            kind, value = "file", hashlib.sha256(content).digest()
        else:
            kind, value = "link", content.target.encode()
        total.update(f"{kind} {path} {len(value)}\0".encode() + value)
    return total.digest()


def _size(content: Content) -> int:
    if isinstance(content, Link):
        return 0
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _check_names(files: Mapping[str, Content]) -> None:
    """debugfs reads its commands as words, so names are held to those a node has."""
    for path, content in files.items():
        target = content.target if isinstance(content, Link) else "x"
        if not (_GENTLE.fullmatch(path) and _GENTLE.fullmatch(target)) or {".", ".."} & set(path.split("/")):
            raise OperatorError(
                f"{_CODE}.name",
                "a name cannot be written into a persist image",
                expected="a relative path of letters, digits and . _ + -",
                found=repr(path[:150]),
            )
    inside = [path for path in files if any(parent in files for parent in _parents(path))]
    if inside:
        raise OperatorError(f"{_CODE}.name", f"{inside[0]} is below a file")
