# SPDX-License-Identifier: MIT
"""Images built from pinned Debian packages: the lock, its inputs, the initramfs, the variants. Operator side only.

May use archive, composefs, wire, linux, verity, erofs, manifest, native and base. Import the module you need;
importing the package costs nothing.
"""
