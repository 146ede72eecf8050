# SPDX-License-Identifier: MIT
"""Writes the seeds of csrc/fuzz/fuzz_image.c: one small good image with everything in it, and the broken ones.

Run as `python -m unit.erofs._write_seeds DIRECTORY` with tests/ on the path. The result is committed; this is how it
was made. Broken images whose only fault is a superblock field are left out: the fuzzer finds those by itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

from unit.erofs._broken_images import BROKEN, good
from unit.erofs._small_images import (
    BLK,
    CHR,
    CHUNK,
    FIFO,
    FIRST_INODE,
    LNK,
    METACOPY,
    PLAIN,
    REDIRECT,
    REG,
    TRUSTED,
    USER,
    SmallImage,
    xattr_entry,
)

LARGEST = 12_288


def everything() -> bytes:
    """All kinds of inode, layouts, hard link, whiteout, stub, own and shared xattrs."""
    image = SmallImage()
    digest = (TRUSTED, b"overlay.metacopy", b"\0\x24\0\1" + bytes(range(32)))
    whiteout = [(TRUSTED, b"overlay.overlay.whiteout", b""), (USER, b"overlay.whiteout", b"")]
    plain = image.inode(REG | 0o644, layout=PLAIN, size=3000)
    link = image.inode(REG | 0o644, tail=b"linked", nlink=2, shared=[0, 2])
    inner = image.directory([(b"again", link), (b"gone", image.inode(REG, xattrs=whiteout))])
    children = [
        (b"00", image.inode(CHR | 0o644)),
        (b"block", image.inode(BLK | 0o660, i_u=0x801)),
        (b"dir", inner),
        (b"external", image.inode(REG, layout=CHUNK, size=9, tail=b"\xff" * 4, xattrs=[digest, REDIRECT])),
        (b"fifo", image.inode(FIFO | 0o644, extended=True)),
        (b"link", link),
        (b"nodigest", image.inode(REG, layout=CHUNK, size=9, tail=b"\xff" * 4, xattrs=[METACOPY])),
        (b"plain", plain),
        (b"symlink", image.inode(LNK | 0o777, tail=b"dir/again")),
    ]
    root = image.directory(children, xattrs=[(TRUSTED, b"overlay.opaque", b"y")])
    table = image.block(xattr_entry(USER, b"a", b"1\n") + xattr_entry(USER, b"b", b"= "))
    number = image.block(b"plain content\n" * 215)
    image.data[plain * 32 + 16 : plain * 32 + 20] = number.to_bytes(4, "little")
    return image.finish(root, xattr_block=table)


def main(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    (target / "everything.img").write_bytes(everything())
    for name, _, build in BROKEN:
        image = build()
        only_the_front = image[FIRST_INODE:] == good()[FIRST_INODE:]
        if FIRST_INODE < len(image) <= LARGEST and not only_the_front:
            slug = "".join(c if c.isalnum() else "-" for c in name).strip("-")
            (target / f"{slug}.img").write_bytes(image)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
