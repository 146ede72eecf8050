# SPDX-License-Identifier: MIT
"""Packages unpack to what they say, and a hostile one gets its own refusal and leaves nothing outside the folder."""

from __future__ import annotations

import io
import lzma
import os
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from powernode.archive import deb, tar
from powernode.base.errors import DataError
from unit.archive._debs import Item, ar, directories, gz
from unit.archive._debs import deb as package
from unit.archive._debs import tar as tar_of

LONG = "usr/" + "/".join(["d" * 60] * 5) + "/" + "f" * 200
LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
GOOD = [
    *directories("./", "./usr/", "./usr/bin/"),
    Item("./usr/bin/hello", b"#!hello" * 9000, mode=0o4755),
    Item("./usr/bin/again", kind=HARD, target="./usr/bin/hello"),
    Item("./usr/bin/abs", kind=LINK, target="/etc/passwd"),
    Item(f"./{LONG}", b"deep"),
    Item("./usr/bin/far", kind=LINK, target=f"../../{LONG}"),
    Item("./lib/unmerged", b"", mode=0o600),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (made := tmp_path / "outside" / "tree").mkdir(parents=True)
    return made


def unpack(data: bytes, folder: Path, limits: deb.Limits | None = None) -> None:
    deb.unpack(io.BytesIO(data), folder, limits)


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("data.tar.xz", lzma.compress),
        ("data.tar.gz", gz),
        ("data.tar.zst", zstandard.ZstdCompressor().compress),
        ("data.tar", bytes),
    ],
)
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT], ids=["gnu", "ustar"])
def test_unpacks(folder: Path, name: str, compress: type[bytes], format: int) -> None:
    items = [item for item in GOOD if format == tarfile.GNU_FORMAT or len(item.name + item.target) < 100]
    before = os.umask(0o077)
    try:
        unpack(package(data=compress(tar_of(*items, format=format)), data_name=name), folder)
    finally:
        os.umask(before)
    hello = folder / "usr/bin/hello"
    assert hello.read_bytes() == b"#!hello" * 9000
    assert hello.stat().st_mode & 0o7777 == 0o755, "set-id bits mean nothing without the owner"
    assert hello.samefile(folder / "usr/bin/again")
    assert os.readlink(folder / "usr/bin/abs") == "/etc/passwd"
    assert (folder / "lib").stat().st_mode & 0o7777 == 0o755, "the umask has no say"
    assert (folder / "lib/unmerged").stat().st_mode & 0o7777 == 0o600
    if format == tarfile.GNU_FORMAT:
        assert (folder / "usr/bin/far").read_bytes() == b"deep"


def test_control() -> None:
    fields = deb.control(io.BytesIO(package()))
    assert fields == {"Package": "hello", "Version": "1:2-3", "Description": "says hello\ntwice\n.\nand more"}


def test_members_for_extensions_are_ignored(folder: Path) -> None:
    data = ar(
        ("debian-binary", b"2.1\n"), ("control.tar", tar_of()), ("_sign", b"x"), ("data.tar", tar_of(Item("./f", b"1")))
    )
    unpack(data, folder)
    assert (folder / "f").read_bytes() == b"1"


def raw_size(size: bytes) -> bytes:
    """A tar whose only file claims another size, with a checksum that fits."""
    block = bytearray(tar_of(Item("./f", b"1")))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)


SEED = tar_of(*GOOD)
TAR_DEFECTS = {
    "absolute-path": ("archive.tar.path", tar_of(Item("/etc/passwd", b"x"))),
    "dot-dot": ("archive.tar.path", tar_of(Item("./usr/../../x", b"x"))),
    "dot-dot-last": ("archive.tar.path", tar_of(Item("./usr/..", kind=tarfile.DIRTYPE))),
    "double-slash": ("archive.tar.path", tar_of(Item("./usr//x", b"x"))),
    "name-of-300": ("archive.tar.path", tar_of(Item("./" + "n" * 300, b"x"))),
    "path-of-5000": ("archive.tar.path", tar_of(Item("./" + "n/" * 2500, b"x"))),
    "through-symlink": (
        "archive.deb.through",
        tar_of(Item("./out", kind=LINK, target=".."), Item("./out/x", b"x")),
    ),
    "directory-over-symlink": (
        "archive.deb.through",
        tar_of(Item("./out", kind=LINK, target=".."), Item("./out/", kind=tarfile.DIRTYPE)),
    ),
    "through-file": ("archive.deb.through", tar_of(Item("./f", b"x"), Item("./f/x", b"x"))),
    "over-symlink": ("archive.deb.duplicate", tar_of(Item("./x", kind=LINK, target="../x"), Item("./x", b"x"))),
    "file-twice": ("archive.deb.duplicate", tar_of(Item("./x", b"x"), Item("./x", b"y"))),
    "file-over-directory": ("archive.deb.duplicate", tar_of(*directories("./x"), Item("./x", b"y"))),
    "file-as-the-top": ("archive.deb.duplicate", tar_of(Item("./", b"x"))),
    "hardlink-outside": ("archive.tar.path", tar_of(Item("./x", kind=HARD, target="../secret"))),
    "hardlink-absolute": ("archive.tar.path", tar_of(Item("./x", kind=HARD, target="/etc/passwd"))),
    "hardlink-to-nothing": ("archive.deb.hardlink", tar_of(Item("./x", kind=HARD, target="./later"))),
    "hardlink-to-symlink": (
        "archive.deb.hardlink",
        tar_of(Item("./s", kind=LINK, target="../secret"), Item("./x", kind=HARD, target="./s")),
    ),
    "hardlink-through-symlink": (
        "archive.deb.hardlink",
        tar_of(Item("./s", kind=LINK, target=".."), Item("./x", kind=HARD, target="./s/secret")),
    ),
    "symlink-to-nothing": ("archive.tar.header", tar_of(Item("./s", kind=LINK, target=""))),
    "character-device": ("archive.tar.device", tar_of(Item("./mem", kind=tarfile.CHRTYPE))),
    "block-device": ("archive.tar.device", tar_of(Item("./sda", kind=tarfile.BLKTYPE))),
    "pipe": ("archive.tar.device", tar_of(Item("./p", kind=tarfile.FIFOTYPE))),
    "sparse": ("archive.tar.type", tar_of(Item("./s", kind=tarfile.GNUTYPE_SPARSE))),
    "pax": ("archive.tar.type", tar_of(Item("./" + "n" * 200, b"x"), format=tarfile.PAX_FORMAT)),
    "long-name-of-a-gigabyte": ("archive.tar.path", tar_of(Item("./x", b"x" * 5000, kind=tarfile.GNUTYPE_LONGNAME))),
    "directory-with-content": ("archive.tar.header", tar_of(Item("./d", b"x", kind=tarfile.DIRTYPE))),
    "checksum": ("archive.tar.header", tar_of(Item("./f", b"x")).replace(b"./f", b"./g", 1)),
    "no-end-mark": ("archive.tar.truncated", tar_of(Item("./f", b"x"))[:1024]),
    "cut-in-content": ("archive.tar.truncated", tar_of(Item("./f", b"x" * 600))[:700]),
    "cut-in-header": ("archive.tar.truncated", tar_of(Item("./f", b"x"))[:100]),
    "lying-size": ("archive.tar.truncated", raw_size(b"77777777777\0")),
    "size-beyond-everything": ("archive.tar.truncated", raw_size(b"\x80" + b"\x7f" * 11)),
    "size-negative": ("archive.tar.header", raw_size(b"\xff" * 12)),
    "size-no-number": ("archive.tar.header", raw_size(b"12x45678901\0")),
    "something-behind-the-end": ("archive.tar.trailing", tar_of() + b"x"),
}


@pytest.mark.parametrize("defect", TAR_DEFECTS)
def test_hostile_content(folder: Path, defect: str) -> None:
    code, data = TAR_DEFECTS[defect]
    (folder.parent / "secret").write_text("kept")
    with pytest.raises(DataError) as caught:
        unpack(package(data=data, data_name="data.tar"), folder)
    assert caught.value.code == code
    assert sorted(path.name for path in folder.parent.iterdir()) == ["secret", "tree"]
    assert (folder.parent / "secret").read_text() == "kept"


XZ = lzma.compress(tar_of(*GOOD))
PACKAGE_DEFECTS = {
    "empty": ("archive.ar.magic", b""),
    "no-data": ("archive.deb.layout", ar(("debian-binary", b"2.0\n"), ("control.tar", tar_of()))),
    "no-members": ("archive.deb.layout", ar()),
    "wrong-order": ("archive.deb.layout", ar(("debian-binary", b"2.0\n"), ("data.tar", tar_of()))),
    "not-first": ("archive.deb.layout", ar(("control.tar", tar_of()), ("debian-binary", b"2.0\n"))),
    "format-3": ("archive.deb.version", package().replace(b"2.0\n", b"3.0\n", 1)),
    "unknown-method": ("archive.data.method", package(data=b"x", data_name="data.tar.rar")),
    "xz-corrupt": ("archive.data.corrupt", package(data=XZ[:200] + bytes(20) + XZ[220:])),
    "xz-is-none": ("archive.data.corrupt", package(data=b"hello, hello, hello")),
    "xz-truncated": ("archive.data.truncated", package(data=XZ[:-30])),
    "xz-trailing": ("archive.data.trailing", package(data=XZ + b"x")),
    "gz-corrupt": ("archive.data.corrupt", package(data=b"hello", data_name="data.tar.gz")),
    "gz-truncated": ("archive.data.truncated", package(data=gz(tar_of(*GOOD))[:-3], data_name="data.tar.gz")),
    "zst-corrupt": ("archive.zstd.corrupt", package(data=b"hello", data_name="data.tar.zst")),
    "file-cut": ("archive.ar.truncated", package(*GOOD)[:-40]),
}


@pytest.mark.parametrize("defect", PACKAGE_DEFECTS)
def test_hostile_packages(folder: Path, defect: str) -> None:
    code, data = PACKAGE_DEFECTS[defect]
    with pytest.raises(DataError) as caught:
        unpack(data, folder)
    assert caught.value.code == code


@pytest.mark.parametrize("compress", [lzma.compress, gz, zstandard.ZstdCompressor().compress], ids=["xz", "gz", "zst"])
def test_a_bomb_is_stopped_at_the_limit(folder: Path, compress: type[bytes]) -> None:
    bomb = compress(tar_of(Item("./zeros", bytes(8 << 20))))
    name = {b"\xfd": "data.tar.xz", b"\x1f": "data.tar.gz", b"\x28": "data.tar.zst"}[bomb[:1]]
    with pytest.raises(DataError) as caught:
        unpack(package(data=bomb, data_name=name), folder, deb.Limits(total_bytes=1 << 20))
    assert caught.value.code == "archive.data.too-large"
    assert (folder / "zeros").stat().st_size <= 1 << 20


def test_the_number_of_entries_is_limited(folder: Path) -> None:
    many = package(*[Item(f"./{number}") for number in range(20)])
    with pytest.raises(DataError) as caught:
        unpack(many, folder, deb.Limits(entries=10))
    assert caught.value.code == "archive.tar.entries"
    assert len(list(folder.iterdir())) == 10


def test_directories_that_no_entry_names_count_as_well(folder: Path) -> None:
    deep = package(*[Item(f"./{number}/{'/'.join('d' * 15)}/f") for number in range(3)])
    with pytest.raises(DataError) as caught:
        unpack(deep, folder, deb.Limits(entries=10))
    assert caught.value.code == "archive.deb.entries"
    assert sum(len(folders) for _, folders, _ in os.walk(folder)) == 10


@pytest.mark.parametrize(
    "item", [Item("./link", kind=LINK, target="x" * 4096), Item(f"./{'/'.join(['d' * 250] * 16)}/{'f' * 60}")]
)
def test_what_is_too_long_for_the_kernel(folder: Path, item: Item) -> None:
    with pytest.raises(DataError) as caught:
        unpack(package(item), folder)
    assert caught.value.code == "archive.deb.path"


def test_control_of_a_package_without_one() -> None:
    with pytest.raises(DataError) as caught:
        deb.control(io.BytesIO(ar(("debian-binary", b"2.0\n"), ("control.tar", tar_of(Item("./md5sums"))))))
    assert caught.value.code == "archive.deb.control"


@given(st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), min_size=1, max_size=6))
def test_damage_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    """Whatever the bytes: entries with clean names, or a refusal of ours."""
    data = bytearray(SEED)
    for offset, value in changes:
        data[offset] = value
    with suppress(DataError):
        for entry, content in tar.entries(io.BytesIO(data), limit=100):
            assert ".." not in entry.path.split("/")
            assert not entry.path.startswith("/")
            content.read_all()
