# SPDX-License-Identifier: MIT
"""powernode image build"""

from __future__ import annotations

import sys
from typing import Any

from powernode.cli.image.options import CONTENT_OPTIONS, TARGET_OPTIONS
from powernode.cli.options import Arguments, Command, Option

COMMAND = Command(
    "image build",
    "",
    "Builds boot images from the packages of the lock, for any architecture, without emulation. The same plan gives "
    "the same bytes everywhere.",
    options=(
        *TARGET_OPTIONS,
        *CONTENT_OPTIONS,
        Option("--out", "DIR", "where VARIANT/ARCH/ is written (default: initramfs/images in the checkout)"),
        Option("--json", None, "one JSON object for machines"),
    ),
    example="powernode image build --arch arm64 --variant kernel-initrd --modules build/system-base-arm64",
    most=0,
)


def run(arguments: Arguments) -> int:
    import json
    import os
    from time import monotonic

    from powernode.cli.image.options import folder, work
    from powernode.debian.inputs import default_cache
    from powernode.image.build import build
    from powernode.image.manifest import MANIFEST

    built = []
    wanted = work(arguments)
    cache = default_cache(os.environ)
    for plan in wanted.plans:
        out = folder(arguments.out, plan.variant, plan.arch)
        before = monotonic()
        build(plan, wanted.sources(cache), out, report=lambda text: print(f"  {text}", file=sys.stderr))
        document = json.loads((out / MANIFEST).read_text())
        built.append({"folder": str(out), **document})
        if not arguments.json:
            _print(plan.variant, plan.arch, str(out), document, monotonic() - before)
    if arguments.json:
        print(json.dumps({"images": built}))
    return 0


def _print(variant: str, arch: str, out: str, document: dict[str, Any], seconds: float) -> None:
    print(f"{variant} for {arch} in {seconds:.1f} s: {out}")
    for item in document["artifacts"]:
        print(f"  {item['name']:20} {item['size_bytes'] / 1e6:8.2f} MB  sha256:{item['sha256']}")
    print("in the initramfs, as compressed there and as unpacked:")
    for name, size in document["components"].items():
        print(f"  {name:20} {size['packed_bytes'] / 1e6:8.2f} MB  {size['bytes'] / 1e6:6.2f} MB")
