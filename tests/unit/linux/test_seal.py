# SPDX-License-Identifier: MIT
"""The same answers with the C library and without it: what this machine's kernel says, and errors as data.

The order of the kernel's calls is checked on a simulated one: here for plain Python, in tests/native for C. A kernel
that really seals is met in tests/vm.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from powernode.base.errors import DataError, InternalError, MachineError, PowernodeError
from powernode.linux import fsverity
from powernode.linux.seal import Watch, refusal, seal_files
from unit.native._doors import DOORS, through

DIGEST = bytes(range(32))
ENABLE = 0x40806685


@pytest.fixture(scope="module", params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[str]:
    name: str = request.param
    with through(name):
        yield name


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "file").write_bytes(b"x" * 5000)
    (tmp_path / "link").symlink_to("ab/file")
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def kernel_says(folder: int) -> int:
    """What this machine answers for a file that is not sealed: no fs-verity, or only not sealed."""
    fd = os.open("ab/file", os.O_RDONLY, dir_fd=folder)
    try:
        with pytest.raises(PowernodeError) as refused:
            fsverity.measure(fd)
    finally:
        os.close(fd)
    cause = refused.value.__cause__
    assert isinstance(cause, OSError)
    return cause.errno or 0


@pytest.mark.usefixtures("door")
class TestThisMachine:
    def test_every_kind_of_entry(self, folder: int) -> None:
        watch = Watch()
        names = ["ab/file", "missing", "ab/file/below", "link", "fifo", "ab"]
        answers = seal_files(folder, [(name, DIGEST) for name in names], measure_only=True, watch=watch)
        assert answers == [kernel_says(folder), errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.EINVAL]
        assert (watch.files, watch.size_bytes, watch.cancelled) == (6, 5000, False)

    def test_many(self, folder: int) -> None:
        watch = Watch()
        answers = seal_files(folder, [("ab/file", DIGEST)] * 3000, measure_only=True, threads=4, watch=watch)
        assert answers == [kernel_says(folder)] * 3000
        assert (watch.files, watch.size_bytes) == (3000, 3000 * 5000)

    def test_nothing_to_do(self, folder: int) -> None:
        assert seal_files(folder, []) == []

    def test_cancelled_before_it_began(self, folder: int) -> None:
        watch = Watch()
        watch.cancel()
        assert seal_files(folder, [("ab/file", DIGEST)] * 2, watch=watch) == [errno.ECANCELED] * 2
        assert watch.files == 0

    @pytest.mark.parametrize("entry", [("", DIGEST), ("a\0b", DIGEST), ("ab/file", DIGEST[:-1])])
    def test_entries_that_are_none(self, folder: int, entry: tuple[str, bytes]) -> None:
        with pytest.raises(InternalError) as raised:
            seal_files(folder, [entry])
        assert raised.value.code == "linux.seal.entry"

    def test_descriptor_that_is_none(self) -> None:
        assert seal_files(-1, [("x", DIGEST)]) == [errno.EBADF]


class Kernel:
    """fs-verity for one file at a time: `answers` are what enabling says, `digest` what is measured."""

    def __init__(self, *answers: int, digest: bytes = DIGEST, sealed: bool = False) -> None:
        self.answers = list(answers)
        self.digest = digest
        self.sealed = sealed
        self.calls: list[str] = []

    def ioctl(self, _fd: int, request: int, argument: bytes | bytearray) -> int:
        self.calls.append("enable" if request == ENABLE else "measure")
        if request == ENABLE:
            number = self.answers.pop(0) if self.answers else 0
            self.sealed |= number in (0, errno.EEXIST)
        else:
            number = 0 if self.sealed else errno.ENODATA
            if self.sealed:
                assert isinstance(argument, bytearray)
                argument[:4] = b"\1\0\x20\0"
                argument[4:36] = self.digest
        if number:
            raise OSError(number, os.strerror(number))
        return 0


@pytest.fixture
def without_library() -> Iterator[None]:
    with through("pure"):
        yield


@pytest.mark.usefixtures("without_library")
@pytest.mark.parametrize(
    ("name", "kernel", "measure_only", "answers", "calls"),
    [
        ("fresh", Kernel(), False, [0, 0], ["measure", "enable", "measure", "measure"]),
        ("sealed", Kernel(sealed=True), False, [0, 0], ["measure", "measure"]),
        ("only measured", Kernel(), True, [errno.ENODATA] * 2, ["measure", "measure"]),
        ("somebody was faster", Kernel(errno.EEXIST), False, [0, 0], ["measure", "enable", "measure", "measure"]),
        (
            "other content",
            Kernel(digest=bytes(32)),
            False,
            [errno.EBADMSG] * 2,
            ["measure", "enable"] + ["measure"] * 2,
        ),
        ("in use", Kernel(errno.ETXTBSY), False, [errno.ETXTBSY, 0], ["measure", "enable"] * 2 + ["measure"]),
        ("full", Kernel(errno.ENOSPC), False, [errno.ENOSPC, errno.ECANCELED], ["measure", "enable"]),
    ],
)
def test_order_of_calls(
    folder: int,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kernel: Kernel,
    measure_only: bool,
    answers: list[int],
    calls: list[str],
) -> None:
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    assert seal_files(folder, [("ab/file", DIGEST)] * 2, measure_only=measure_only) == answers, name
    assert kernel.calls == calls


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.EBADMSG, DataError, "linux.seal.digest"),
        (errno.ENODATA, DataError, "linux.seal.unsealed"),
        (errno.ENOENT, DataError, "linux.seal.missing"),
        (errno.ELOOP, DataError, "linux.seal.link"),
        (errno.EIO, DataError, "linux.fsverity.damaged"),
        (errno.ENOTTY, MachineError, "linux.fsverity.no-kernel"),
        (errno.EOPNOTSUPP, MachineError, "linux.fsverity.no-feature"),
        (errno.ENOSPC, MachineError, "linux.fsverity.no-space"),
        (errno.ETXTBSY, MachineError, "linux.fsverity.open-for-writing"),
        (errno.EROFS, MachineError, "linux.fsverity.read-only"),
        (errno.ECANCELED, MachineError, "linux.seal.cancelled"),
        (errno.EMFILE, MachineError, "linux.seal.failed"),
    ],
)
def test_refusals(number: int, kind: type[PowernodeError], code: str) -> None:
    error = refusal("ab/cd", number)
    assert type(error) is kind
    assert error.code == code
    assert "ab/cd" in str(error)
    assert error.found == os.strerror(number)
