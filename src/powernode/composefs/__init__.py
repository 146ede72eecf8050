# SPDX-License-Identifier: MIT
"""composefs: the tree, its dump text, its EROFS image, the object store, and the merge of modules into one root.

May use erofs, verity, linux, native and base. Import the module you need; importing the package costs nothing.
"""
