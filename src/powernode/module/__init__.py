# SPDX-License-Identifier: MIT
"""module: the operator's side of modules: authoring, building, publishing and reading them.

May use debian, archive, composefs, manifest and below. Images are made from modules, so `image` may use this package.
"""
