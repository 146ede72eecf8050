# SPDX-License-Identifier: MIT
"""Runs inside the virtual machine: fs-verity, the object store and composefs mounts on a kernel that enforces.

Prints one `@@ NAME JSON` line per finding and judges nothing; `test_verity_vm.py` does.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

from powernode.base.errors import MachineError, PowernodeError
from powernode.composefs import mount
from powernode.composefs.mount import mount_image
from powernode.composefs.store import ObjectStore
from powernode.linux import fsverity
from powernode.linux.mount import FsContext, unmount
from vm._reference import file_digest

OBJECT = b"powernode\n" * 2000
IMAGE = "/disk/tiny.erofs"
TARGET = "/tmp/target"
ENABLE_CASES = (
    ("sha256", 4096, b"", 0),
    ("sha256", 4096, b"", 1),
    ("sha256", 4096, b"", 4097),
    ("sha256", 4096, b"\x01\x02\x03", 600_000),
    ("sha512", 4096, b"salt" * 8, 20_000),
    ("sha256", 1024, b"", 20_000),
)


def tell(name: str, value: Any) -> None:
    print(f"@@ {name} {json.dumps(value)}", flush=True)


def refused(action: Callable[[], Any]) -> str:
    """The code of the refusal, the name of the errno, or `done`."""
    try:
        action()
    except PowernodeError as error:
        return error.code
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "done"


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def write(path: str, data: bytes) -> str:
    with open(path, "wb") as file:
        file.write(data)
    return path


def digest_fd(fd: int) -> bytes:
    data = b""
    while chunk := os.pread(fd, 1 << 20, len(data)):
        data += chunk
    return file_digest(data)


def enable(path: str, **options: Any) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        fsverity.enable(fd, **options)
    finally:
        os.close(fd)


def measure(path: str) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        algorithm, digest = fsverity.measure(fd)
    finally:
        os.close(fd)
    return f"{algorithm}:{digest.hex()}"


def disk(device: str, folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["/bin/busybox", "mount", "-t", "ext4", device, folder], check=True)


def mounted() -> list[str]:
    with open("/proc/self/mountinfo") as table:
        return [line.strip() for line in table if f" {TARGET} " in line]


def sealing() -> None:
    measured = []
    for number, (algorithm, block_size, salt, size) in enumerate(ENABLE_CASES):
        data = bytes(range(251)) * (size // 251 + 1)
        path = write(f"/disk/file{number}", data[:size])
        enable(path, algorithm=algorithm, block_size=block_size, salt=salt)
        measured.append([measure(path), f"{algorithm}:{file_digest(data[:size], algorithm, block_size, salt).hex()}"])
    tell("measured", measured)
    tell("enable-twice", refused(lambda: enable("/disk/file1")))
    tell("write-sealed", refused(lambda: write("/disk/file1", b"x")))
    plain = write("/disk/plain", b"x")
    tell("measure-plain", refused(lambda: measure(plain)))
    with open(plain, "ab"):
        tell("enable-open-for-writing", refused(lambda: enable(plain)))
    tell("enable-block-size", refused(lambda: enable(plain, block_size=65536)))
    tell("enable-folder", refused(lambda: enable("/disk")))
    tell("tmpfs", [refused(lambda: enable(write("/run/x", b"x"))), refused(lambda: measure("/run/x"))])
    tell("no-feature", [refused(lambda: enable(write("/plain/x", b"x"))), refused(lambda: measure("/plain/x"))])


def storing(digest: bytes) -> ObjectStore:
    store = ObjectStore.create("/disk/objects")
    with store.batch(jobs=2) as batch:
        batch.add_bytes(OBJECT, digest)
        others = [bytes((number,)) * 5000 for number in range(8)]
        for data in others:
            batch.add_bytes(data, file_digest(data))
    tell("stored", [batch.written, batch.sealed, measure(f"{store.path}/{store.object_path(digest)}")])
    tell("store-wrong", refused(lambda: store.add_bytes(b"other", file_digest(b"this"))))
    tell(
        "store-after-wrong", [store.has(file_digest(b"this")), sorted(n for n in os.listdir(store.path) if n[0] == ".")]
    )
    report = store.fsck(digest_fd)
    tell("fsck-clean", [report.is_clean, report.checked])
    unsealed = ObjectStore.create("/disk/unsealed", digest_fd=digest_fd, seal=False)
    unsealed.add_bytes(OBJECT, digest)
    tell("fsck-unsealed", [d.hex() for d in unsealed.fsck(digest_fd).unsealed])
    return store


def mounting(image_digest: bytes) -> None:
    os.makedirs(TARGET)

    def attempt(objects: str = "/disk/objects", **options: Any) -> str:
        return refused(lambda: mount_image(IMAGE, [objects], TARGET, **options))

    tell("image-not-sealed", [attempt(digest=image_digest), attempt(), mounted()])
    tell(
        "try-unsealed",
        [attempt(verity="try", digest=image_digest, digest_fd=digest_fd), read(f"{TARGET}/big") == OBJECT],
    )
    unmount(TARGET)
    enable(IMAGE)
    tell("image-digest", measure(IMAGE))
    tell("wrong-digest", [attempt(digest=bytes(32)), mounted()])

    report = mount_image(IMAGE, ["/disk/objects"], TARGET, digest=image_digest)
    tell("report", [report.enforcement.value, report.digest and report.digest.hex(), report.backing])
    tell("mountinfo", mounted())
    tell(
        "content",
        [read(f"{TARGET}/big") == OBJECT, read(f"{TARGET}/small").decode(), os.readlink(f"{TARGET}/dir/link")],
    )
    tell("read-only", refused(lambda: write(f"{TARGET}/new", b"x")))
    unmount(TARGET)
    tell("left-behind", [mounted(), os.listdir("/run")])

    for name in ("upper", "work"):
        os.makedirs(f"/disk/{name}")
    mount_image(IMAGE, ["/disk/objects"], TARGET, digest=image_digest, upperdir="/disk/upper", workdir="/disk/work")
    write(f"{TARGET}/new", b"x")
    with open(f"{TARGET}/big", "ab") as file:
        file.write(b"more")
    tell("writable", [read(f"{TARGET}/new") == b"x", read(f"{TARGET}/big") == OBJECT + b"more"])
    unmount(TARGET)

    tell("mount-unsealed-object", attempt("/disk/unsealed"))
    tell("read-unsealed-object", [refused(lambda: read(f"{TARGET}/big")), read(f"{TARGET}/small").decode()])
    unmount(TARGET)
    tell("sealed-later", ObjectStore("/disk/unsealed").seal(jobs=2))
    attempt("/disk/unsealed")
    tell("read-sealed-later", read(f"{TARGET}/big") == OBJECT)
    unmount(TARGET)

    tell("no-objects-folder", attempt("/disk/empty"))
    os.makedirs("/disk/empty")
    attempt("/disk/empty")
    tell("read-missing-object", refused(lambda: read(f"{TARGET}/big")))
    unmount(TARGET)


def older_kernels(image_digest: bytes) -> None:
    """The ways for kernels before 6.7 and 6.12, forced on this one."""
    original_string, original_erofs = FsContext.set_string, mount._erofs

    def without_layers(self: FsContext, key: str, value: str | bytes) -> None:
        original_string(self, "no-such-option" if key == "lowerdir+" else key, value)

    FsContext.set_string = without_layers  # type: ignore[method-assign]
    mount_image(IMAGE, ["/disk/objects"], TARGET, digest=image_digest)
    FsContext.set_string = original_string  # type: ignore[method-assign]
    tell(
        "classic", [read(f"{TARGET}/big") == OBJECT, ["verity=require" in line and "::" in line for line in mounted()]]
    )
    unmount(TARGET)

    def only_devices(source: str, path: mount.Path) -> int:
        if not source.startswith("/dev/"):
            error = MachineError("linux.mount.failed", "not a block device")
            raise error from OSError(15, "Block device required")
        return original_erofs(source, path)

    mount._erofs = only_devices
    report = mount_image(IMAGE, ["/disk/objects"], TARGET, digest=image_digest)
    mount._erofs = original_erofs
    tell("loop", [report.backing, read(f"{TARGET}/big") == OBJECT])
    unmount(TARGET)


def flip(start: bytes, position: int) -> int:
    """Change one bit in every block of the unmounted disk that begins with `start`; returns how many there were."""
    subprocess.run(["/bin/busybox", "umount", "/disk"], check=True)
    count = 0
    with open("/dev/vda", "r+b") as device:
        offset = 0
        while block := device.read(4096):
            if block.startswith(start):
                device.seek(offset + position)
                device.write(bytes((block[position] ^ 0x20,)))
                device.seek(offset + 4096)
                count += 1
            offset += 4096
        device.flush()
        os.fsync(device.fileno())
    return count


def tampering(store: ObjectStore, digest: bytes) -> None:
    # Another file under the object's name, properly sealed itself.
    path = f"{store.path}/{store.object_path(digest)}"
    os.rename(path, "/disk/kept")
    write(path, OBJECT[::-1])
    enable(path)
    mount_image(IMAGE, ["/disk/objects"], TARGET)
    tell("read-swapped-object", refused(lambda: read(f"{TARGET}/big")))
    unmount(TARGET)
    os.rename("/disk/kept", path)

    # One bit of every copy on the disk, below the filesystem.
    flipped = flip(OBJECT[:1000], 700)
    disk("/dev/vda", "/disk")
    mount_image(IMAGE, ["/disk/objects"], TARGET)
    tell("flipped", flipped)
    tell("measure-flipped", measure(path))
    tell("read-flipped", [refused(lambda: read(f"{TARGET}/big")), read(f"{TARGET}/small").decode()])
    unmount(TARGET)
    report = store.fsck(digest_fd, repair=True)
    tell("fsck-flipped", [[d.digest.hex(), d.found, d.reason] for d in report.damaged])
    tell("fsck-repaired", [store.has(digest), store.fsck(digest_fd).is_clean])

    with open(IMAGE, "rb") as image:
        head = image.read(1024)
    flip(head, 500)  # a byte that no driver looks at
    disk("/dev/vda", "/disk")
    tell("measure-flipped-image", measure(IMAGE))
    tell("mount-flipped-image", [refused(lambda: mount_image(IMAGE, ["/disk/objects"], TARGET)), mounted()])


def main() -> None:
    disk("/dev/vda", "/disk")
    disk("/dev/vdb", "/plain")
    with open("/guest/tiny.erofs.gz", "rb") as packed:
        image = gzip.decompress(packed.read())
    write(IMAGE, image)
    digest, image_digest = file_digest(OBJECT), file_digest(image)
    tell("expected", [digest.hex(), image_digest.hex()])
    sealing()
    store = storing(digest)
    mounting(image_digest)
    older_kernels(image_digest)
    tampering(store, digest)


if __name__ == "__main__":
    main()
