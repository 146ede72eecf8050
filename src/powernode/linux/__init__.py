# SPDX-License-Identifier: MIT
"""linux: the only package that enters the kernel for more than ordinary files: fs-verity, mounts, loop devices, syncfs.

May use base and the standard library (ctypes where the standard library has no door). Everybody above may use it. A
function here is one kernel operation with its errors named; what to do, and in which order, is decided by the callers.
Import the module you need; importing the package costs nothing.
"""
