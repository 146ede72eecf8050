# SPDX-License-Identifier: MIT
"""The trimmed interpreter of an initramfs: Debian's own Python with exactly what the agent can import, as .pyc.

Uses image.trees and archive; used by image.initramfs. Begin with runtime.interpreter.
"""
