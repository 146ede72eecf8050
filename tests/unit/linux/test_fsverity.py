# SPDX-License-Identifier: MIT
"""The ioctls against a simulated kernel that reads the real structures; the real kernel is met in tests/vm."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from powernode.base.errors import DataError, InternalError, MachineError, OperatorError, PowernodeError
from powernode.linux import fsverity

ENABLE, MEASURE = 0x40806685, 0xC0046686


class EnableArg(ctypes.Structure):
    """struct fsverity_enable_arg as linux/fsverity.h has it."""

    _fields_ = [
        ("version", ctypes.c_uint32),
        ("hash_algorithm", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("salt_size", ctypes.c_uint32),
        ("salt_ptr", ctypes.c_uint64),
        ("sig_size", ctypes.c_uint32),
        ("reserved1", ctypes.c_uint32),
        ("sig_ptr", ctypes.c_uint64),
        ("reserved2", ctypes.c_uint64 * 11),
    ]


class Kernel:
    """One file's fs-verity state behind `ioctl`."""

    def __init__(self, *, answer: tuple[int, bytes] = (1, bytes(range(32))), refuse: int = 0) -> None:
        self.answer = answer
        self.refuse = refuse
        self.enabled: dict[str, object] = {}

    def ioctl(self, fd: int, request: int, argument: bytes | bytearray) -> int:
        os.fstat(fd)
        if self.refuse:
            raise OSError(self.refuse, os.strerror(self.refuse))
        if request == ENABLE:
            assert len(argument) == ctypes.sizeof(EnableArg) == 128
            arg = EnableArg.from_buffer_copy(argument)
            assert (arg.version, arg.sig_size, arg.reserved1, arg.sig_ptr, list(arg.reserved2)) == (
                1,
                0,
                0,
                0,
                [0] * 11,
            )
            salt = ctypes.string_at(arg.salt_ptr, arg.salt_size) if arg.salt_size else b""
            self.enabled = {"algorithm": arg.hash_algorithm, "block_size": arg.block_size, "salt": salt}
            return 0
        assert request == MEASURE
        assert isinstance(argument, bytearray)
        number, digest = self.answer
        room = int.from_bytes(argument[2:4], sys.byteorder)
        if len(digest) > room:
            raise OSError(errno.EOVERFLOW, "room")
        argument[: 4 + len(digest)] = (
            number.to_bytes(2, sys.byteorder) + len(digest).to_bytes(2, sys.byteorder) + digest
        )
        return 0


@pytest.fixture
def fd(tmp_path: Path) -> int:
    (tmp_path / "object").write_bytes(b"x")
    return os.open(tmp_path / "object", os.O_RDONLY)


def use(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    return kernel


def refusal(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, fd: int, *, measure: bool = False) -> PowernodeError:
    use(kernel, monkeypatch)
    with pytest.raises(PowernodeError) as caught:
        fsverity.measure(fd) if measure else fsverity.enable(fd)
    return caught.value


def test_enable_defaults(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = use(Kernel(), monkeypatch)
    fsverity.enable(fd)
    assert kernel.enabled == {"algorithm": 1, "block_size": 4096, "salt": b""}


def test_enable_passes_every_option(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = use(Kernel(), monkeypatch)
    fsverity.enable(fd, algorithm="sha512", block_size=1024, salt=bytes(range(1, 33)))
    assert kernel.enabled == {"algorithm": 2, "block_size": 1024, "salt": bytes(range(1, 33))}


@pytest.mark.parametrize(("number", "name", "size"), [(1, "sha256", 32), (2, "sha512", 64)])
def test_measure(fd: int, monkeypatch: pytest.MonkeyPatch, number: int, name: str, size: int) -> None:
    digest = bytes(range(100, 100 + size))
    use(Kernel(answer=(number, digest)), monkeypatch)
    assert fsverity.measure(fd) == (name, digest)


def test_measure_refuses_an_algorithm_it_does_not_know(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refusal(Kernel(answer=(9, bytes(48))), monkeypatch, fd, measure=True)
    assert (error.code, error.found) == ("linux.fsverity.algorithm", "number 9 with 48 bytes")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOTTY, "linux.fsverity.no-kernel"),
        (errno.EEXIST, "linux.fsverity.already-enabled"),
        (errno.ETXTBSY, "linux.fsverity.open-for-writing"),
        (errno.EBUSY, "linux.fsverity.busy"),
        (errno.EACCES, "linux.fsverity.permission"),
        (errno.EPERM, "linux.fsverity.permission"),
        (errno.EROFS, "linux.fsverity.read-only"),
        (errno.EISDIR, "linux.fsverity.not-a-file"),
        (errno.EINVAL, "linux.fsverity.parameters"),
        (errno.ENOPKG, "linux.fsverity.algorithm"),
        (errno.EFBIG, "linux.fsverity.too-big"),
        (errno.ENOSPC, "linux.fsverity.no-space"),
        (errno.ENOKEY, "linux.fsverity.signature"),
        (errno.ENOMEM, "linux.fsverity.failed"),
    ],
)
def test_refusals_of_enable(fd: int, monkeypatch: pytest.MonkeyPatch, number: int, code: str) -> None:
    error = refusal(Kernel(refuse=number), monkeypatch, fd)
    assert type(error) is MachineError
    assert error.code == code
    assert error.found == os.strerror(number)
    assert "/object" in error.message
    assert isinstance(error.__cause__, OSError)


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOTTY, "linux.fsverity.no-kernel"), (errno.ENODATA, "linux.fsverity.not-enabled")],
)
def test_refusals_of_measure(fd: int, monkeypatch: pytest.MonkeyPatch, number: int, code: str) -> None:
    error = refusal(Kernel(refuse=number), monkeypatch, fd, measure=True)
    assert (type(error), error.code) == (MachineError, code)
    assert error.hint


@pytest.mark.parametrize("built_without", [True, False])
def test_a_kernel_without_support_is_told_from_a_filesystem_without_it(
    fd: int, monkeypatch: pytest.MonkeyPatch, built_without: bool
) -> None:
    monkeypatch.setattr(fsverity, "_kernel_was_built_without", lambda: built_without)
    error = refusal(Kernel(refuse=errno.EOPNOTSUPP), monkeypatch, fd)
    assert error.code == ("linux.fsverity.no-kernel" if built_without else "linux.fsverity.no-feature")


def test_unreadable_metadata_is_bad_data(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refusal(Kernel(refuse=errno.EIO), monkeypatch, fd, measure=True)
    assert (type(error), error.code) == (DataError, "linux.fsverity.damaged")


def test_closed_descriptor_is_our_own_mistake(fd: int) -> None:
    os.close(fd)
    with pytest.raises(InternalError) as caught:
        fsverity.measure(fd)
    assert caught.value.code == "linux.fsverity.bad-descriptor"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"algorithm": "md5"}, "linux.fsverity.algorithm"),
        ({"block_size": 3000}, "linux.fsverity.block-size"),
        ({"block_size": 0}, "linux.fsverity.block-size"),
        ({"block_size": 1 << 32}, "linux.fsverity.block-size"),
        ({"salt": bytes(33)}, "linux.fsverity.salt"),
    ],
)
def test_impossible_requests_never_reach_the_kernel(
    fd: int, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], code: str
) -> None:
    kernel = use(Kernel(refuse=errno.EIO), monkeypatch)
    with pytest.raises(OperatorError) as caught:
        fsverity.enable(fd, **options)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert not kernel.enabled


@pytest.mark.parametrize(("refuse", "expected"), [(0, True), (errno.ENODATA, True), (errno.ENOTTY, False)])
def test_is_supported(fd: int, monkeypatch: pytest.MonkeyPatch, refuse: int, expected: bool) -> None:
    use(Kernel(refuse=refuse), monkeypatch)
    assert fsverity.is_supported(fd) is expected


def test_import_is_cheap() -> None:
    code = (
        "import sys; before = set(sys.modules); import powernode.linux.fsverity;"
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('powernode')))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(eval(result.stdout))
    assert loaded <= {"errno", "fcntl", "struct", "_struct", "__future__"}, loaded
