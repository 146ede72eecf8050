# SPDX-License-Identifier: MIT
"""composefs images: made from a directory, a dump or a tree; read back as text, objects or a tree.

The same bytes through the C library and without it, and the same bytes as the reference tools. Images are untrusted:
what breaks the format is a DataError with a precise code.

    image = from_dump(text)
    digest(image)              # the number everything below it hangs on
    objects(image)             # [b"ab/cdef…", …]
    to_tree(image)

Out of scope: the object store (`store`; `scan.store_directory` fills one), mounting (`mount`), merging (`merge`).
"""

from __future__ import annotations

from powernode import native
from powernode.base.errors import DataError
from powernode.composefs._versions import VERSION_MAX, check_versions
from powernode.verity import Digest, digest_buffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from powernode.composefs.tree import Directory

_DUMP, _LIST, _OBJECTS = range(3)
_STRICT = 1


def from_dump(text: bytes, *, min_version: int = 0, max_version: int = VERSION_MAX, strict: bool = False) -> bytes:
    """The image of a dump.

    Tolerated, and refused with `strict`: a last line that does not end with a newline; a device number of what is no
    device; a symbolic link with a size that is not the length of its target, or with content. Each is dropped, so the
    image is the same as without it. (Fields that are missing at the end of a line are empty, `strict` or not.)
    """
    check_versions(min_version, max_version)
    library = native.library()
    if library is None:
        from powernode.composefs._dump_parse import read_dump
        from powernode.composefs._image_pure import write_image

        parsed = read_dump(text, strict=strict)
        return write_image(parsed.root, min_version=min_version, max_version=max_version, wide=parsed.wide)
    from powernode.native.results import Failure, NativeBuffer

    failure = Failure()
    with NativeBuffer(library) as image:
        result = library.call(
            "pn_composefs_image_from_dump",
            text or b"\0",
            len(text),
            min_version,
            max_version,
            _STRICT if strict else 0,
            image.handle,
            failure.handle,
        )
        if result < 0:
            raise failure.error(result, "line", "dump")
        return bytes(image.view())


def from_tree(root: Directory, *, min_version: int = 0, max_version: int = VERSION_MAX) -> bytes:
    """The image of a tree: that of its dump. Attributes that a dump cannot hold are refused."""
    check_versions(min_version, max_version)
    return from_dump(to_dump(root), min_version=min_version, max_version=max_version)


def to_dump(root: Directory) -> bytes:
    """A tree as dump text: how two trees are compared."""
    from powernode.composefs._dump_print import print_dump

    return print_dump(root)


def parse_dump(text: bytes, *, strict: bool = False) -> Directory:
    from powernode.composefs._dump_parse import parse_dump as parse

    return parse(text, strict=strict)


def to_tree(image: bytes | memoryview) -> Directory:
    """The tree an image describes: that of its dump."""
    return parse_dump(dump(image))


def digest(image: bytes | memoryview) -> Digest:
    """The fs-verity digest of the image file: the identity of everything in it."""
    return digest_buffer(image)


def dump(image: bytes | memoryview, *, only: Iterable[bytes] = ()) -> bytes:
    """The image as dump text; `only` names entries of the root to print, everything else is left out."""
    return _text(image, _DUMP, only)


def listing(image: bytes | memoryview, *, only: Iterable[bytes] = ()) -> bytes:
    """A line per path: `PATH\\t@ OBJECT` for a file in the store, `PATH\\t-> TARGET` for a symbolic link."""
    return _text(image, _LIST, only)


def objects(image: bytes | memoryview, *, only: Iterable[bytes] = ()) -> list[bytes]:
    """The objects the image needs, sorted, each once, as paths in a store."""
    return _text(image, _OBJECTS, only).splitlines()


def _text(image: bytes | memoryview, what: int, only: Iterable[bytes]) -> bytes:
    names = list(only)
    if any(not name or b"/" in name or b"\0" in name for name in names):
        raise DataError("composefs.filter", "a filter is the name of an entry of the root, not a path")
    library = native.library()
    if library is None:
        from powernode.composefs._view_pure import text

        return text(image, ("dump", "listing", "objects")[what], names)
    from powernode.native.results import Failure, NativeBuffer

    failure = Failure()
    filters = b"".join(name + b"\0" for name in names) + b"\0" if names else None
    with NativeBuffer(library) as out:
        result = library.call(
            "pn_composefs_text_from_image", image or b"\0", len(image), what, filters, out.handle, failure.handle
        )
        if result < 0:
            raise failure.error(result, "byte", "image")
        return bytes(out.view())
