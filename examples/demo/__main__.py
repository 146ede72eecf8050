# SPDX-License-Identifier: MIT
"""`make demo`: the main things powernode can do today, with their real output.

Prints what it runs, what came out and how long it took. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import os

from digests import show_digests
from machine import show_machine
from shell import ROOT
from supply import show_supply_chain

if __name__ == "__main__":
    show_digests()
    os.chdir(ROOT)
    show_supply_chain()
    for arch in ("amd64", "arm64"):
        show_machine(arch)
