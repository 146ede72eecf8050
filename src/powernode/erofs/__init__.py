# SPDX-License-Identifier: MIT
"""The EROFS on-disk format: bytes in, bytes out.

`format` names the structures; `_writer` turns a list of inodes into an image, `_reader` takes an untrusted image
apart. The package knows nothing of composefs (what the inodes mean) and nothing of files (where the bytes come from):
it may use `powernode.base` and the standard library, and is used by `powernode.composefs`.

Only what composefs needs is implemented: 4096-byte blocks, no compression, flat and chunk-based files, shared
extended attributes with name filters. The layout rules are those of the C composefs tools, byte for byte;
docs/formats/composefs.md describes them.

    image = write_erofs([Inode(mode=0o40755, nlink=2, entries=((b".", 0), (b"..", 0)))])
    assert ErofsReader(image).root().mode == 0o40755
"""
