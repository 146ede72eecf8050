# SPDX-License-Identifier: MIT
"""The verbs of `powernode composefs`, one file each."""
