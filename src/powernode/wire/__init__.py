# SPDX-License-Identifier: MIT
"""wire: the documents that builder, platform and node hand each other, as values. Uses base only.

A document is read strictly (bounded, no unknown members) and has one spelling (`base.canonical`), so what was signed is
what is meant. Who may be believed is decided in `trust`.
"""
