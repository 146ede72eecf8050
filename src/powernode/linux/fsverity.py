# SPDX-License-Identifier: MIT
"""Seal a file with fs-verity and ask the kernel for the digest of a sealed one.

Invariants: the kernel does all the work and its answer is returned as it is; every refusal of the kernel has its own
code with a next step. This module is on the start path of the command line, so it imports only what costs nothing.

Out of scope: computing digests (`powernode.verity`), built-in signatures (we never use them), choosing what to seal.

    fd = os.open("object", os.O_RDONLY)        # the last descriptor open for writing must be closed
    fsverity.enable(fd)
    algorithm, digest = fsverity.measure(fd)   # ("sha256", 32 bytes)
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from powernode.base.errors import DataError, InternalError, MachineError, OperatorError, PowernodeError

__all__ = ["ALGORITHMS", "enable", "is_supported", "measure"]

ALGORITHMS = {"sha256": 1, "sha512": 2}
"""The kernel's number of each hash algorithm (FS_VERITY_HASH_ALG_*)."""

_NAMES = {1: "sha256", 2: "sha512"}
_MAX_DIGEST_SIZE = 64
_MAX_SALT_SIZE = 32

# _IOW('f', 133, struct fsverity_enable_arg) and _IOWR('f', 134, struct fsverity_digest): the same on amd64 and arm64.
_FS_IOC_ENABLE_VERITY = 0x40806685
_FS_IOC_MEASURE_VERITY = 0xC0046686

# version, hash_algorithm, block_size, salt_size, salt_ptr, sig_size, reserved, sig_ptr, 11 reserved words: 128 bytes.
_ENABLE_ARG = struct.Struct("=IIIIQIIQ88x")
# digest_algorithm, digest_size (room going in, length coming out); the digest follows.
_DIGEST_HEAD = struct.Struct("=HH")

_NO_KERNEL = (
    "linux.fsverity.no-kernel",
    "this kernel or filesystem type has no fs-verity",
    "use ext4, btrfs or f2fs on a kernel with CONFIG_FS_VERITY=y",
)
_NO_FEATURE = (
    "linux.fsverity.no-feature",
    "the filesystem was made without the verity feature",
    "for ext4: tune2fs -O verity DEVICE, or make it with mke2fs -O verity",
)
_PERMISSION = (
    "linux.fsverity.permission",
    "no permission to seal the file",
    "run as the owner of the file with write permission; an append-only file cannot be sealed",
)
_NO_SPACE = ("linux.fsverity.no-space", "no room for the Merkle tree", "free some space: about 1/127 of the file")
_SIGNATURE = (
    "linux.fsverity.signature",
    "the kernel insists on built-in fs-verity signatures, which Powernode does not use",
    "sysctl fs.verity.require_signatures=0",
)

# What each errno means for each ioctl: Documentation/filesystems/fsverity.rst, and the source where that is silent.
_ENABLE_REFUSALS: dict[int, tuple[str, str, str | None]] = {
    errno.ENOTTY: _NO_KERNEL,
    errno.EOPNOTSUPP: _NO_FEATURE,
    errno.EEXIST: ("linux.fsverity.already-enabled", "the file is sealed already", "nothing to do; measure it"),
    errno.ETXTBSY: (
        "linux.fsverity.open-for-writing",
        "the file is open for writing",
        "close every descriptor that can write to it, then seal through a read-only one",
    ),
    errno.EBUSY: ("linux.fsverity.busy", "another process is sealing the file now", "wait and measure it"),
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: ("linux.fsverity.read-only", "the filesystem is read-only", "remount it read-write to seal"),
    errno.EISDIR: ("linux.fsverity.not-a-file", "only regular files can be sealed", None),
    errno.EINVAL: (
        "linux.fsverity.parameters",
        "the kernel refused the parameters, or this is not a regular file",
        "a block size above the page size, or other than 4096 before Linux 6.3, is refused",
    ),
    errno.EMSGSIZE: ("linux.fsverity.salt", "the salt is longer than the kernel takes", "use at most 32 bytes"),
    errno.ENOPKG: (
        "linux.fsverity.algorithm",
        "the kernel does not have this hash algorithm",
        "use sha256, or load the kernel's module for it",
    ),
    errno.EFBIG: ("linux.fsverity.too-big", "the file is too big for fs-verity with this block size", None),
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EBADMSG: _SIGNATURE,
    errno.EKEYREJECTED: _SIGNATURE,
    errno.ENOKEY: _SIGNATURE,
}
_MEASURE_REFUSALS: dict[int, tuple[str, str, str | None]] = {
    errno.ENOTTY: _NO_KERNEL,
    errno.EOPNOTSUPP: _NO_FEATURE,
    errno.ENODATA: ("linux.fsverity.not-enabled", "the file is not sealed with fs-verity", "seal it first"),
}
_DAMAGED = (errno.EIO, getattr(errno, "EUCLEAN", errno.EIO))


def enable(fd: int, *, algorithm: str = "sha256", block_size: int = 4096, salt: bytes = b"") -> None:
    """Seal the file behind the read-only descriptor `fd`; from then on nobody can write to it."""
    number = ALGORITHMS.get(algorithm)
    if number is None:
        raise OperatorError(
            "linux.fsverity.algorithm",
            "the kernel has no such fs-verity algorithm",
            expected=" or ".join(ALGORITHMS),
            found=repr(algorithm),
        )
    if not 0 < block_size < 1 << 32 or block_size & (block_size - 1):
        raise OperatorError(
            "linux.fsverity.block-size",
            "this block size cannot be used",
            expected="a power of two from 1024 to the page size",
            found=str(block_size),
        )
    if len(salt) > _MAX_SALT_SIZE:
        raise OperatorError(
            "linux.fsverity.salt", "the salt is too long", expected="at most 32 bytes", found=f"{len(salt)} bytes"
        )
    salt_address = 0
    if salt:
        from array import array  # its buffer_info() gives an address without the price of ctypes

        salt_buffer = array("B", salt)  # lives until the call is over
        salt_address = salt_buffer.buffer_info()[0]
    argument = _ENABLE_ARG.pack(1, number, block_size, len(salt), salt_address, 0, 0, 0)
    try:
        fcntl.ioctl(fd, _FS_IOC_ENABLE_VERITY, argument)
    except OSError as error:
        raise _refusal(error, _ENABLE_REFUSALS, fd, "seal") from error


def measure(fd: int) -> tuple[str, bytes]:
    """The algorithm and the file digest the kernel enforces for `fd`; a file that is not sealed is a refusal."""
    buffer = bytearray(_DIGEST_HEAD.size + _MAX_DIGEST_SIZE)
    _DIGEST_HEAD.pack_into(buffer, 0, 0, _MAX_DIGEST_SIZE)
    try:
        fcntl.ioctl(fd, _FS_IOC_MEASURE_VERITY, buffer)
    except OSError as error:
        raise _refusal(error, _MEASURE_REFUSALS, fd, "measure") from error
    number, size = _DIGEST_HEAD.unpack_from(buffer)
    name = _NAMES.get(number)
    if name is None or size > _MAX_DIGEST_SIZE:
        raise MachineError(
            "linux.fsverity.algorithm",
            f"{_name_of(fd)} is sealed with a hash algorithm this version does not know",
            expected=" or ".join(ALGORITHMS),
            found=f"number {number} with {size} bytes",
        )
    return name, bytes(buffer[_DIGEST_HEAD.size : _DIGEST_HEAD.size + size])


def is_supported(fd: int) -> bool:
    """Whether files beside `fd` (a regular file, sealed or not) can be sealed: kernel and filesystem both agree."""
    try:
        measure(fd)
    except MachineError as error:
        if error.code in (_NO_KERNEL[0], _NO_FEATURE[0]):
            return False
        if error.code != "linux.fsverity.not-enabled":
            raise
    return True


def _refusal(error: OSError, table: dict[int, tuple[str, str, str | None]], fd: int, action: str) -> PowernodeError:
    number = error.errno or 0
    if number == errno.EBADF:
        return InternalError("linux.fsverity.bad-descriptor", f"descriptor {fd} is not open")
    name = _name_of(fd)
    if number in _DAMAGED:
        return DataError(
            "linux.fsverity.damaged",
            f"cannot {action} {name}: its data or its fs-verity metadata cannot be read",
            found=os.strerror(number),
            hint="the storage or the filesystem is damaged; fetch the file again",
        )
    known = table.get(number)
    if known is _NO_FEATURE and _kernel_was_built_without():
        known = _NO_KERNEL
    if known is None:
        return MachineError("linux.fsverity.failed", f"cannot {action} {name}", found=os.strerror(number))
    code, message, hint = known
    return MachineError(code, f"cannot {action} {name}: {message}", found=os.strerror(number), hint=hint)


def _kernel_was_built_without() -> bool:
    """ext4 says EOPNOTSUPP for both causes, but lists verity as a feature of its code only where the kernel has it."""
    features = "/sys/fs/ext4/features"
    return os.path.isdir(features) and not os.path.exists(f"{features}/verity")


def _name_of(fd: int) -> str:
    """The file's path for a message; only asked for once something went wrong."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return f"descriptor {fd}"
