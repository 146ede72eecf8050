# SPDX-License-Identifier: MIT
"""The module supply chain: Redis from its manifest to a signed artifact in a registry, and back, verified."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shell import POWERNODE, ROOT, show, title

_TAG = "v0.1.0"


def show_supply_chain() -> None:
    os.environ.setdefault("POWERNODE_CACHE", str(ROOT / ".cache"))
    title("A module: Redis, from its manifest to a registry and back")
    with tempfile.TemporaryDirectory(prefix="powernode-demo-") as folder:
        shutil.copytree(ROOT / "examples/modules/redis", Path(folder, "my-redis"))
        with contextlib.chdir(folder):
            _from_source_to_node()
    print("The tutorial does the same step by step: docs/first-module.md")


def _from_source_to_node() -> None:
    show([POWERNODE, "module", "validate", "my-redis"], keep=6)
    show([POWERNODE, "keys", "new", "publisher"])
    show([POWERNODE, "module", "build", "my-redis", "--version=0.1.0"], keep=6)
    layout = "my-redis/build/oci"
    show([POWERNODE, "module", "inspect", layout], keep=9)
    show([POWERNODE, "module", "sign", "--key=publisher.key", layout], keep=9)
    with _registry() as address:
        reference = f"{address}/acme/my-redis:{_TAG}"
        show([POWERNODE, "module", "push", layout, reference], keep=6)
        show([POWERNODE, "module", "verify", "--key=publisher.pub", reference], keep=6)
        for _ in range(2):  # the second time nothing has to come but manifests
            show([POWERNODE, "module", "pull", "--key=publisher.pub", reference, "fetched"], keep=6)
    built = next(path for path in Path("my-redis/build").iterdir() if (path / "module.json").exists())
    show([POWERNODE, "module", "diff", str(built), "fetched"])


@contextmanager
def _registry() -> Iterator[str]:
    """Our own, on a free port of this machine; gone afterwards."""
    command = [POWERNODE, "registry", "serve", "--root=registry", "--listen=127.0.0.1:0"]
    print("$ powernode registry serve --root=registry --listen=127.0.0.1:0 &")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        first = process.stdout.readline().strip()
        print(f"  {first}")
        found = re.search(r"https?://([^/,\s]+)", first)
        if found is None:
            sys.exit("the registry did not say where it listens")
        yield found[1]
    finally:
        process.terminate()
        process.wait()
