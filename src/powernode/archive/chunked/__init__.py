# SPDX-License-Identifier: MIT
"""Layers of container images: tar in zstd with a table of contents (zstd:chunked), and whatever else layers are.

`write` makes them, `toc` and `position` find out what is in one without reading it, `stream` reads a whole one, made by
anybody. May use base and native. Nothing here knows composefs: `module.layer` does.
"""
