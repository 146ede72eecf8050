# SPDX-License-Identifier: MIT
"""manifest: what a module says about itself, as pure values: the manifest, globs, versions, effective priority.

May use base only; composefs takes the matchers made here through its own Protocol and never imports this package.
"""
