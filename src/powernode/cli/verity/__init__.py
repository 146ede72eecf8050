# SPDX-License-Identifier: MIT
"""The verbs of `powernode verity`, one file each."""
