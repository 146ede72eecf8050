# SPDX-License-Identifier: MIT
"""An image for the other architecture, built where nothing can run that architecture's programs.

The build gets a user and mount namespace with an instance of binfmt_misc of its own (Linux 6.7), which is empty, and
with /dev/null in the place of every qemu program. The machine's own registrations stay as they are. The first thing run
there is a program of the other architecture: it has to fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from powernode.debian.inputs import Inputs
from powernode.image.manifest import MANIFEST, check_sums
from repro._checkouts import copy_of_checkout, machine_can, powernode
from support.debian import CACHE
from vm._images import HOST_ARCH, locked

OTHER = {"amd64": "arm64", "arm64": "amd64"}[HOST_ARCH]
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount"]
OWN_BINFMT = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc"
# $1 is the foreign program; what follows it is run in the end.
SCRIPT = f"""
set -e
{OWN_BINFMT}
for file in /proc/sys/fs/binfmt_misc/*; do
    case $file in */register | */status) ;; *) echo "still registered: $file"; exit 90 ;; esac
done
IFS=:
for folder in $PATH /usr/libexec/qemu-binfmt; do
    for program in "$folder"/qemu-*; do
        [ ! -x "$program" ] || mount --bind /dev/null "$program"
    done
done
unset IFS
! command -v qemu-aarch64 qemu-aarch64-static qemu-x86_64 qemu-x86_64-static qemu-system-aarch64 || exit 91
if "$1" true 2>/dev/null; then echo "$1 can be run"; exit 92; fi
shift
exec "$@"
"""


def test_the_other_architecture_needs_none(tmp_path: Path) -> None:
    if not machine_can(*NAMESPACES, "sh", "-c", OWN_BINFMT):
        pytest.skip("no binfmt_misc of our own: that needs Linux 6.7 and user namespaces")
    checkout = copy_of_checkout(tmp_path / "checkout", OTHER)
    foreign = Inputs(locked(OTHER), CACHE).tree("busybox-static") / "usr/bin/busybox"
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("debs", "trees", "packed"):  # what takes long and runs nothing foreign; compiling is done again
        (CACHE / name).mkdir(exist_ok=True)
        (cache / name).symlink_to(CACHE / name)
    result = powernode(
        checkout,
        *("image", "build", f"--arch={OTHER}", "--variant=kernel-initrd", f"--out={tmp_path / 'out'}"),
        cwd=tmp_path,
        prefix=[*NAMESPACES, "sh", "-c", SCRIPT, "sh", str(foreign)],
        environment={"POWERNODE_CACHE": str(cache)},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    image = tmp_path / "out/kernel-initrd" / OTHER
    check_sums(image)
    document = json.loads((image / MANIFEST).read_text())
    assert document["plan"]["arch"] == OTHER
    assert {item["architecture"] for item in document["inputs"]} == {OTHER, HOST_ARCH, "all"}
