# SPDX-License-Identifier: MIT
"""The verbs of `powernode keys`, one file each."""
