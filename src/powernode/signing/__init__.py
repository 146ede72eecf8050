# SPDX-License-Identifier: MIT
"""signing: makes keys and signatures, on the operator's side only (it uses `cryptography`). Never part of a node.

May use wire and base. The other side, which decides what to believe, is `trust`; they meet in `wire` only.
"""
