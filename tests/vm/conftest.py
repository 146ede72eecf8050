# SPDX-License-Identifier: MIT
"""The kernel for all tests of this folder, and how a script of it becomes an initramfs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from powernode.image.runtime.imports import closure
from vm._vm import require_tools
from vm._vm_initramfs import SOURCES, build
from vm._vm_kernel import Kernel, VmUnavailableError, get_kernel

HERE = Path(__file__).resolve().parent
MODULES = ("virtio_blk", "loop", "erofs", "overlay")
_OURS = ("powernode.composefs.mount", "powernode.composefs.store", "powernode.linux.seal")
IMPORTS = (
    # the guests' own
    *(
        "array",
        "concurrent.futures.thread",
        "errno",
        "gzip",
        "hashlib",
        "json",
        "struct",
        "subprocess",
        "time",
        "typing",
    ),
    # also what ours import only when it is needed
    *sorted(closure(SOURCES, _OURS, without=("powernode.native._cffi_door",)).others),
    *_OURS,
)


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    try:
        require_tools()
        return get_kernel()
    except VmUnavailableError as error:
        pytest.skip(f"no virtual machine here: {error}")


def guest(kernel: Kernel, script: str, files: Mapping[str, bytes]) -> bytes:
    """An initramfs that runs `script` of this folder with the reference digest and `files` beside it."""
    with_reference = {"vm/_reference.py": (HERE / "_reference.py").read_bytes(), **files}
    return build(kernel.closure(MODULES), script=HERE / script, imports=IMPORTS, files=with_reference)
