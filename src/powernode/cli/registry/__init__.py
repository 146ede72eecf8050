# SPDX-License-Identifier: MIT
"""The verbs of `powernode registry`, one file each."""
