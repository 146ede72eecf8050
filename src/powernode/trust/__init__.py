# SPDX-License-Identifier: MIT
"""trust: decides what may be believed. Raises or returns what was proven; there is no False to overlook.

May use wire, native and base; runs on the node, so it is standard library and the C library only. All mathematics is
libcrypto's, behind csrc/crypto. The clock is an argument.
"""
